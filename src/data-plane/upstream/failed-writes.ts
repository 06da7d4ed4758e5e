// Lets a socket be read on when a write to it has failed. An endpoint that has answered early (413, 401) and closed resets the
// connection for whatever of the request still comes; its answer has arrived before that and waits to be read. A stream
// ends itself at the failed write, and throws the answer away. Used by the engines for HTTP/1, on a worker thread.
import type { Socket } from 'node:net';

type Callback = (error?: Error | null) => void;

/**
 * From the first write that fails on, what is written is dropped, and its callbacks come as if it had left. What has arrived
 * is read, then the stream ends by an end or a read error: the kernel has both ready.
 * @param socket connected.
 * @param onFailure called at the first failure, perhaps within a write.
 */
export function outliveFailedWrites(socket: Socket, onFailure: () => void): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev!.bind(socket);
  let hasFailed = false;
  const judge =
    (callback: Callback): Callback =>
    (error) => {
      // A socket that is being destroyed ends its writes with errors, too.
      if (error === null || error === undefined || socket.destroyed) return callback(error);
      if (!hasFailed) {
        hasFailed = true;
        onFailure();
      }
      callback();
    };
  socket._write = (chunk, encoding, callback) => {
    if (hasFailed) callback();
    else write(chunk, encoding, judge(callback));
  };
  socket._writev = (chunks, callback) => {
    if (hasFailed) callback();
    else writev(chunks, judge(callback));
  };
}
