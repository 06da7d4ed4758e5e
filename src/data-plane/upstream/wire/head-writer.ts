// Writes request heads to a connected socket. A head is small and nearly always fits the kernel's buffer at once, so
// it goes to the handle below net.Socket's stream: the stream's own work for a write (an object, a queue entry, a tick
// of its own) costs as much as the system call. What the handle below looks like is not Node's public interface: it is
// looked at before it is used, and where it looks different, the stream is used. On a worker thread.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What identifies a write to the handle until it is complete. */
interface WriteRequest {
  oncomplete: (status: number) => void;
  /** @returns -1 as long as no write is attached to it. */
  getAsyncId(): number;
}

/** What is used of a TCP or pipe handle. */
interface StreamHandle {
  /** Tries at once and queues the rest. @returns 0 or a negative error number. */
  writeLatin1String(request: WriteRequest, text: string): number;
}

/** Node's class for such requests, taken from a write of its own; null before the first one. */
let RequestClass: (new () => WriteRequest) | null = null;
/** The request for the next write. One that was complete at once was never attached to anything. */
let spare: WriteRequest | null = null;

export class HeadWriter {
  private readonly socket: Socket;
  /** null: only the stream is used. */
  private readonly handle: StreamHandle | null;

  /** @param socket connected. */
  constructor(socket: Socket) {
    this.socket = socket;
    this.handle = handleOf(socket);
  }

  /** Behind all that was written before. Failures are the socket's. @param text one latin1 character a byte. */
  write(text: string): void {
    const { handle, socket } = this;
    // What the stream has queued itself must not be overtaken.
    if (handle === null || socket.writableLength > 0 || socket.destroyed) {
      socket.write(text, 'latin1');
    } else if (RequestClass === null) {
      learnRequestClass(handle, () => socket.write(text, 'latin1'));
    } else {
      const request = (spare ??= new RequestClass());
      const error = handle.writeLatin1String(request, text);
      if (error !== 0) return this.fail(error);
      // An empty queue would not do as a sign: what the kernel took at the second try is reported later, too, and a
      // request that is given away twice ends the process.
      if (request.getAsyncId() < 0) return;
      // Not complete: the handle keeps the request.
      request.oncomplete = (status) => {
        if (status < 0) this.fail(status);
      };
      spare = null;
    }
  }

  private fail(error: number): void {
    this.socket.destroy(new Error(`a write failed: ${error}`));
  }
}

function handleOf(socket: Socket): StreamHandle | null {
  // TLS keeps a queue of its own between the two.
  if (socket instanceof TLSSocket) return null;
  const { _handle: handle } = socket as Socket & {
    readonly _handle?: Partial<StreamHandle> | null;
  };
  if (handle === null || handle === undefined) return null;
  return typeof handle.writeLatin1String === 'function' ? (handle as StreamHandle) : null;
}

/** Looks over the stream's shoulder at one write. */
function learnRequestClass(handle: StreamHandle, write: () => void): void {
  const prototype = Object.getPrototypeOf(handle) as StreamHandle;
  handle.writeLatin1String = (request, text) => {
    if (typeof request.getAsyncId === 'function') {
      RequestClass = request.constructor as new () => WriteRequest;
    }
    return prototype.writeLatin1String.call(handle, request, text);
  };
  try {
    write();
  } finally {
    // The prototype's shows again.
    Reflect.deleteProperty(handle, 'writeLatin1String');
  }
}
