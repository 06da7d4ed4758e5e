// Reads the server's name off the first message of a TLS client, without answering it. Bounded; whatever is not a
// ClientHello is refused at once. Sources: RFC 8446 §4.1.2 and §5.1, RFC 6066 §3.
import type { Socket } from 'node:net';
import { isHostName } from '../../config/address.ts';
import { plainName } from '../tls-certificates.ts';

const RECORD_HANDSHAKE = 22;
const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
/** A hello comes in one record, rarely in two. */
const RECORDS_MAX = 16;
/** Of all versions since SSL 3. */
const MAJOR_VERSION = 3;
const MESSAGE_HEADER_BYTES = 4;
const MESSAGE_CLIENT_HELLO = 1;
/** What a server need not take; those with large post-quantum keys have some 2 KiB. */
const HELLO_BYTES_MAX = 16_384;
const EXTENSION_SERVER_NAME = 0;
const NAME_TYPE_HOST = 0;

/** What follows of a message: every read checks that it is there. */
class Bytes {
  isShort = false;
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.at >= this.bytes.length;
  }

  /** A big-endian number of 1 to 3 bytes; 0 when they are not there. */
  number(size: number): number {
    const part = this.take(size);
    return part.length === size ? part.readUIntBE(0, size) : 0;
  }

  /** What stands behind its length of `size` bytes. */
  vector(size: number): Buffer {
    return this.take(this.number(size));
  }

  take(count: number): Buffer {
    const part = this.bytes.subarray(this.at, this.at + count);
    if (part.length < count) this.isShort = true;
    this.at += count;
    return part;
  }
}

/**
 * @param bytes all that has come on a connection.
 * @returns the name in lower case and without a final dot, '' when the client names none; 'more' bytes are needed, or it is 'bad' whatever follows.
 */
export function readServerName(bytes: Buffer): { readonly name: string } | 'more' | 'bad' {
  const fragments: Buffer[] = [];
  let isOver = false;
  for (let at = 0; at < bytes.length && !isOver;) {
    // After the hello, other records may follow in the same packet.
    isOver =
      fragments.length === RECORDS_MAX ||
      bytes[at] !== RECORD_HANDSHAKE ||
      (at + 1 < bytes.length && bytes[at + 1] !== MAJOR_VERSION);
    if (isOver || bytes.length < at + RECORD_HEADER_BYTES) break;
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0 || size > RECORD_BYTES_MAX) return 'bad';
    at += RECORD_HEADER_BYTES;
    fragments.push(bytes.subarray(at, at + size));
    at += size;
  }
  const message = Buffer.concat(fragments);
  if (message.length > 0 && message[0] !== MESSAGE_CLIENT_HELLO) return 'bad';
  if (message.length < MESSAGE_HEADER_BYTES) return isOver ? 'bad' : 'more';
  const whole = MESSAGE_HEADER_BYTES + message.readUIntBE(1, 3);
  if (whole > HELLO_BYTES_MAX) return 'bad';
  if (message.length >= whole) return nameIn(message.subarray(MESSAGE_HEADER_BYTES, whole));
  return isOver ? 'bad' : 'more';
}

/** @param hello a ClientHello without the head of its message. */
function nameIn(hello: Buffer): { readonly name: string } | 'bad' {
  const body = new Bytes(hello);
  body.take(2 + 32);
  body.vector(1);
  body.vector(2);
  body.vector(1);
  // TLS 1.2 allows a hello without extensions.
  const extensions = new Bytes(body.isEmpty ? Buffer.alloc(0) : body.vector(2));
  if (body.isShort || !body.isEmpty) return 'bad';
  let name = '';
  while (!extensions.isEmpty) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (extensions.isShort) return 'bad';
    if (type !== EXTENSION_SERVER_NAME) continue;
    const list = new Bytes(new Bytes(data).vector(2));
    if (name !== '' || list.number(1) !== NAME_TYPE_HOST) return 'bad';
    name = plainName(list.vector(2).toString('latin1'));
    if (list.isShort || !list.isEmpty || !isHostName(name)) return 'bad';
  }
  return { name };
}

/** What a client has said first. */
export interface FirstMessage {
  /** As readServerName() has it; null: it is no ClientHello, or one that we do not take. */
  readonly name: string | null;
  /** All that was read so far. */
  readonly bytes: Buffer;
}

/**
 * Waits for the client's first message.
 * @param decide called once; null: it was not whole in time. Not called when the client is gone.
 */
export function readClientHello(
  socket: Socket,
  timeoutMs: number,
  decide: (message: FirstMessage | null) => void,
): void {
  let held = Buffer.alloc(0);
  const finish = (message: FirstMessage | null): void => {
    clearTimeout(timer);
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    decide(message);
  };
  const timer = setTimeout(() => finish(null), timeoutMs);
  const onEnd = (): void => finish(null);
  const onClose = (): void => clearTimeout(timer);
  const onReadable = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    held = Buffer.concat([held, bytes]);
    const found = readServerName(held);
    if (found === 'more') return;
    finish({ name: found === 'bad' ? null : found.name, bytes: held });
  };
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  socket.on('close', onClose);
}
