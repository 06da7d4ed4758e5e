// Writes requests to a connected socket. Most fit the kernel's buffer at once, so they go to the handle below
// net.Socket's stream: the stream's own work for a write (an object, a queue entry, a tick of its own) costs as much as
// the system call. What the handle below looks like is not Node's public interface: it is looked at before it is used,
// and where it looks different, the stream is used. On a worker thread.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { outliveFailedWrites } from '../failed-writes.ts';
import { releasePiece } from '../../piece-pool.ts';

/** What identifies a write to the handle until it is complete. */
interface WriteRequest {
  oncomplete: (status: number) => void;
  /** @returns -1 as long as no write is attached to it. */
  getAsyncId(): number;
}

/** What is used of a TCP or pipe handle. Each write tries at once, queues the rest, and returns 0 or a negative error number. */
interface StreamHandle {
  writeLatin1String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

/** Node's class for such requests, taken from a write of its own; null before the first one. */
let RequestClass: (new () => WriteRequest) | null = null;
/** The request for the next write. One that was complete at once was never attached to anything. */
let spare: WriteRequest | null = null;

export class SocketWriter {
  private readonly socket: Socket;
  /** null: only the stream is used. */
  private readonly handle: StreamHandle | null;
  private readonly onRoom: () => void;
  private readonly onFailure: () => void;
  /** A write has failed: nothing more reaches the endpoint, and what is written is dropped. */
  hasFailed = false;
  /** Writes to the handle that the kernel has not taken whole. */
  private waitingCount = 0;
  /** The caller was told to wait. */
  private isRoomAwaited = false;

  /**
   * @param socket connected.
   * @param onRoom called after a writePiece() that returned false, once there is room again.
   * @param onFailure called once when a write has failed, perhaps within it. The socket stays open: an answer may be unread.
   */
  constructor(socket: Socket, onRoom: () => void, onFailure: () => void) {
    this.socket = socket;
    this.handle = handleOf(socket);
    this.onRoom = onRoom;
    this.onFailure = onFailure;
    outliveFailedWrites(socket, () => this.fail());
    socket.on('drain', () => this.offerRoom());
  }

  /** Whether the kernel has all that was written. */
  get isIdle(): boolean {
    return !this.hasFailed && this.waitingCount === 0 && this.socket.writableLength === 0;
  }

  /** Writes behind all that was written before. @param text one latin1 character a byte. */
  write(text: string): void {
    if (this.hasFailed) return;
    const { socket } = this;
    const handle = this.usableHandle();
    if (handle === null) {
      socket.write(text, 'latin1');
    } else if (RequestClass === null) {
      learnRequestClass(handle, 'writeLatin1String', () => socket.write(text, 'latin1'));
    } else {
      const request = (spare ??= new RequestClass());
      this.follow(request, handle.writeLatin1String(request, text), null);
    }
  }

  /** As write(), of a piece from the pool, which goes back there. @returns false: the caller is to wait for onRoom(). */
  writePiece(piece: Buffer): boolean {
    if (this.hasFailed) {
      releasePiece(piece);
      return true;
    }
    const handle = this.usableHandle();
    const writeToStream = (): boolean => this.socket.write(piece, () => releasePiece(piece));
    let isRoom: boolean;
    if (handle === null) {
      isRoom = writeToStream();
    } else if (RequestClass === null) {
      isRoom = learnRequestClass(handle, 'writeBuffer', writeToStream);
    } else {
      const request = (spare ??= new RequestClass());
      isRoom = this.follow(request, handle.writeBuffer(request, piece), piece);
    }
    if (!isRoom) this.isRoomAwaited = true;
    return isRoom;
  }

  /** null: the stream is to be used, by whatever it has queued itself, which must not be overtaken. */
  private usableHandle(): StreamHandle | null {
    const { socket } = this;
    return socket.writableLength > 0 || socket.destroyed ? null : this.handle;
  }

  /** After a write to the handle. @param piece stays as it is until all of it has left. @returns false when it has not. */
  private follow(request: WriteRequest, error: number, piece: Buffer | null): boolean {
    // An empty queue would not do as a sign of its end: what the kernel took at the second try is reported later, too,
    // and a request that is given away twice ends the process.
    if (error !== 0 || request.getAsyncId() < 0) {
      if (piece !== null) releasePiece(piece);
      if (error !== 0) this.fail();
      return true;
    }
    // Not complete: the handle keeps the request.
    spare = null;
    this.waitingCount++;
    request.oncomplete = (status) => {
      this.waitingCount--;
      if (piece !== null) releasePiece(piece);
      if (status < 0) this.fail();
      else if (this.isIdle) this.offerRoom();
    };
    return false;
  }

  private offerRoom(): void {
    if (!this.isRoomAwaited || this.hasFailed) return;
    this.isRoomAwaited = false;
    this.onRoom();
  }

  private fail(): void {
    // Destroyed, its writes end so, too.
    if (this.hasFailed || this.socket.destroyed) return;
    this.hasFailed = true;
    this.onFailure();
  }
}

function handleOf(socket: Socket): StreamHandle | null {
  // TLS keeps a queue of its own between the two.
  if (socket instanceof TLSSocket) return null;
  const { _handle: handle } = socket as Socket & {
    readonly _handle?: Partial<StreamHandle> | null;
  };
  if (handle === null || handle === undefined) return null;
  const isAsExpected =
    typeof handle.writeLatin1String === 'function' && typeof handle.writeBuffer === 'function';
  return isAsExpected ? (handle as StreamHandle) : null;
}

/** Looks over the stream's shoulder at one write. @param method by which it will come. @returns what the write returns. */
function learnRequestClass(
  handle: StreamHandle,
  method: 'writeLatin1String' | 'writeBuffer',
  write: () => boolean,
): boolean {
  const prototype = Object.getPrototypeOf(handle) as StreamHandle;
  handle[method] = (request: WriteRequest, data: never) => {
    if (typeof request.getAsyncId === 'function') {
      RequestClass = request.constructor as new () => WriteRequest;
    }
    return prototype[method].call(handle, request, data);
  };
  try {
    return write();
  } finally {
    // The prototype's shows again.
    Reflect.deleteProperty(handle, method);
  }
}
