// Tells HTTP/2 with prior knowledge from HTTP/1 on a connection without TLS: by its first bytes.
import type { Socket } from 'node:net';

/** How an HTTP/2 client begins, and no HTTP/1 method does. Source: RFC 9113 § 3.4. */
const PREFACE = Buffer.from('PRI ');

/** @param decide called once, with all bytes read so far back in the socket. Not called when the client is silent. */
export function sniffHttp2(
  socket: Socket,
  timeoutMs: number,
  decide: (isHttp2: boolean) => void,
): void {
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const onClose = (): void => clearTimeout(timer);
  let held = Buffer.alloc(0);
  const onReadable = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    held = Buffer.concat([held, bytes]);
    const length = Math.min(held.length, PREFACE.length);
    const isPreface = held.compare(PREFACE, 0, length, 0, length) === 0;
    if (isPreface && length < PREFACE.length) return;
    clearTimeout(timer);
    socket.off('readable', onReadable);
    socket.off('close', onClose);
    socket.unshift(held);
    decide(isPreface);
  };
  socket.on('readable', onReadable);
  socket.on('close', onClose);
}
