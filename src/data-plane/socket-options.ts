// Options of listening sockets for which neither Node nor uWebSockets.js has a call: setsockopt() of the C library is
// called itself. Linux only; its headers say what the numbers are (asm-generic/socket.h, linux/tcp.h).
import { readdirSync } from 'node:fs';

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;
const INT_BYTES = 4;
const AF_INET = 2;
const AF_INET6 = 10;
/** Of sockaddr_in6, the longer of the two. Both begin with the family and have the port behind it, in network order. */
const ADDRESS_BYTES = 28;
const PORT_OFFSET = 2;

/** Where the kernel lists the files that this process has open. */
const OPEN_FILES = '/proc/self/fd';

/** All return 0, or -1 for a file that is no socket, or not one of this kind. */
interface SocketCalls {
  setsockopt(file: number, level: number, name: number, value: Int32Array, bytes: number): number;
  getsockopt(
    file: number,
    level: number,
    name: number,
    value: Int32Array,
    bytes: Uint32Array,
  ): number;
  getsockname(file: number, address: Uint8Array, bytes: Uint32Array): number;
}

export class SocketOptions {
  private readonly calls: SocketCalls;

  private constructor(calls: SocketCalls) {
    this.calls = calls;
  }

  /** @returns null where the C library cannot be called: another system, or the optional package is not installed. */
  static async load(): Promise<SocketOptions | null> {
    if (process.platform !== 'linux') return null;
    try {
      const { default: koffi } = await import('koffi');
      const library = koffi.load(null);
      const declare = (declaration: string): unknown => library.func(declaration);
      const calls = {
        setsockopt: declare('int setsockopt(int, int, int, int *, uint32_t)'),
        getsockopt: declare('int getsockopt(int, int, int, int *, uint32_t *)'),
        getsockname: declare('int getsockname(int, uint8_t *, uint32_t *)'),
      };
      return new SocketOptions(calls as SocketCalls);
    } catch {
      return null;
    }
  }

  /**
   * Bounds what may wait to be sent, beyond what is on its way, in each connection that this process accepts on a port
   * from now on: they inherit it.
   * @param bytes the kernel takes no more of an answer once so many wait.
   * @returns listening sockets that have it now: all that are open on the port, those of other threads, too.
   */
  boundUnsent(port: number, bytes: number): number {
    const value = Int32Array.of(bytes);
    const set = (file: number): boolean =>
      this.calls.setsockopt(file, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value, INT_BYTES) === 0;
    return openFiles().filter((file) => this.isListening(file, port) && set(file)).length;
  }

  private isListening(file: number, port: number): boolean {
    const value = Int32Array.of(0);
    const bytes = Uint32Array.of(INT_BYTES);
    const isKnown =
      this.calls.getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, value, bytes) === 0 && value[0] !== 0;
    return isKnown && this.portOf(file) === port;
  }

  /** @returns 0 for a socket without a port. */
  private portOf(file: number): number {
    const address = new Uint8Array(ADDRESS_BYTES);
    const bytes = Uint32Array.of(ADDRESS_BYTES);
    if (this.calls.getsockname(file, address, bytes) !== 0) return 0;
    const family = new Uint16Array(address.buffer)[0];
    if (family !== AF_INET && family !== AF_INET6) return 0;
    return new DataView(address.buffer).getUint16(PORT_OFFSET);
  }
}

/** @returns none where the kernel does not list them. */
function openFiles(): number[] {
  try {
    return readdirSync(OPEN_FILES).map(Number);
  } catch {
    return [];
  }
}
