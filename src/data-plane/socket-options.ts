// Options of listening sockets for which neither Node nor uWebSockets.js has a call: setsockopt() of the C library is
// called itself. Linux only; its headers say what the numbers are (asm-generic/socket.h, linux/tcp.h).
import { closeSync, openSync, readdirSync } from 'node:fs';

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

  /** @throws Error where the C library cannot be called: the optional package is not installed, or not for this system. */
  static async load(): Promise<SocketOptions> {
    const { default: koffi } = await import('koffi');
    const library = koffi.load(null);
    const declare = (declaration: string): unknown => library.func(declaration);
    const calls = {
      setsockopt: declare('int setsockopt(int, int, int, int *, uint32_t)'),
      getsockopt: declare('int getsockopt(int, int, int, int *, uint32_t *)'),
      getsockname: declare('int getsockname(int, uint8_t *, uint32_t *)'),
    };
    return new SocketOptions(calls as SocketCalls);
  }

  /**
   * Bounds what may wait to be sent, beyond what is on its way, in each connection that is made to a port from now on: it
   * has the option from its listening socket.
   * @param bytes the kernel takes no more of an answer once so many wait.
   * @param likelyFile perhaps the port's listening socket; all open files are looked through where it is not. -1: unknown.
   * @returns listening sockets that have it now; all that are open on the port, those of other threads, too, where they
   * had to be looked for.
   */
  boundUnsent(port: number, bytes: number, likelyFile = -1): number {
    const value = Int32Array.of(bytes);
    const set = (file: number): boolean =>
      this.isListening(file, port) &&
      this.calls.setsockopt(file, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value, INT_BYTES) === 0;
    // Threads that open the port at the same time expect the same number. Whose it is not finds it set by the other, or
    // has set it for the other, which then finds it set: one of the two looks through all, and both are open by then.
    const isNew =
      likelyFile >= 0 && this.read(likelyFile, IPPROTO_TCP, TCP_NOTSENT_LOWAT) !== bytes;
    if (isNew && set(likelyFile)) return 1;
    return openFiles().filter(set).length;
  }

  private isListening(file: number, port: number): boolean {
    return this.read(file, SOL_SOCKET, SO_ACCEPTCONN) > 0 && this.portOf(file) === port;
  }

  /** @returns -1: no such option there. */
  private read(file: number, level: number, name: number): number {
    const value = Int32Array.of(0);
    const bytes = Uint32Array.of(INT_BYTES);
    return this.calls.getsockopt(file, level, name, value, bytes) === 0 ? value[0]! : -1;
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

/** @returns the number that the next file to be opened has, unless another thread is faster; -1: unknown. */
export function nextFile(): number {
  try {
    const file = openSync('/dev/null', 'r');
    closeSync(file);
    return file;
  } catch {
    return -1;
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
