// What a client has sent and the upstream cannot take yet. Holding a uWebSockets.js connection back does not stop
// it at once: as long as its socket holds more than a full read (512 KiB), it goes on delivering within the same
// turn. A fast client on a fast network can so push hundreds of megabytes after `pause()` (measured on 20.0.8).
// The first few megabytes stay in memory; what comes on top goes to an unnamed temporary file, as nginx does.
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyOf } from './byte-copy.ts';

/** Kept in memory, by request. */
const MEMORY_BYTES_MAX = 2 * 1024 * 1024;
/** Read back at a time. */
const READ_BYTES = 256 * 1024;

/** One buffer for reading back serves all requests of a worker: a piece is passed on before the next is read. */
let readBuffer: Buffer | null = null;

export class HeldBody {
  private chunks: Uint8Array[] = [];
  private memoryBytes = 0;
  private file = -1;
  private fileWritten = 0;
  private fileRead = 0;

  get isEmpty(): boolean {
    return this.chunks.length === 0 && this.fileRead === this.fileWritten;
  }

  /** Bytes held, in memory and in the file. */
  get byteCount(): number {
    return this.memoryBytes + this.fileWritten - this.fileRead;
  }

  /** Keeps a copy. @throws the file system's error when the temporary file cannot be written. */
  append(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const isSpilling = this.fileRead < this.fileWritten;
    if (!isSpilling && this.memoryBytes + chunk.length <= MEMORY_BYTES_MAX) {
      this.chunks.push(copyOf(chunk));
      this.memoryBytes += chunk.length;
      return;
    }
    if (this.file < 0) this.file = openUnnamed();
    let written = 0;
    while (written < chunk.length) {
      written += writeSync(
        this.file,
        chunk,
        written,
        chunk.length - written,
        this.fileWritten + written,
      );
    }
    this.fileWritten += written;
  }

  /** The next piece, which is the caller's from now on; null: none is in memory, and readFile() may have one. */
  take(): Uint8Array | null {
    const chunk = this.chunks.shift();
    if (chunk === undefined) return null;
    this.memoryBytes -= chunk.length;
    return chunk;
  }

  /** The next piece after take() gave null, valid until the next call for any request of the worker; null: none is held. */
  readFile(): Uint8Array | null {
    if (this.fileRead === this.fileWritten) return null;
    readBuffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const wanted = Math.min(READ_BYTES, this.fileWritten - this.fileRead);
    const count = readSync(this.file, readBuffer, 0, wanted, this.fileRead);
    this.fileRead += count;
    if (this.fileRead === this.fileWritten) {
      ftruncateSync(this.file, 0);
      this.fileRead = 0;
      this.fileWritten = 0;
    }
    return readBuffer.subarray(0, count);
  }

  discard(): void {
    if (this.chunks.length > 0) this.chunks = [];
    this.memoryBytes = 0;
    this.fileRead = 0;
    this.fileWritten = 0;
    if (this.file >= 0) closeSync(this.file);
    this.file = -1;
  }
}

/** A file without a name: it is gone when it is closed, however the process ends. */
function openUnnamed(): number {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-body-'));
  const path = join(folder, 'body');
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  rmdirSync(folder);
  return file;
}
