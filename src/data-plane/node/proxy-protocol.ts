// Reads the PROXY protocol's header, version 1 or 2, by which a proxy in front says whose connection it passes on. Strict:
// what is not exactly a header ends the connection, for everything behind it would be read as something else.
// Source: haproxy.org, The PROXY protocol, versions 1 & 2 (2020).
import type { Socket } from 'node:net';
import { addressBytes } from '../../config/address.ts';

/** The longest line of version 1, with its end. */
const V1_BYTES_MAX = 107;
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_FIXED_BYTES = 16;
/** The protocol allows 64 KiB; addresses with all registered extensions are far below this. */
const V2_REST_BYTES_MAX = 2048;

/** One end of the connection that is passed on. */
export interface ProxiedEnd {
  readonly bytes: Uint8Array;
  readonly port: number;
}

export interface ProxyHeader {
  /** Bytes of the header. */
  readonly length: number;
  /** null: the proxy speaks for itself (its health check), or does not know whose connection it is. */
  readonly ends: { readonly source: ProxiedEnd; readonly destination: ProxiedEnd } | null;
}

/** @returns what stands at the beginning of `bytes`; 'more' is needed, or it is 'bad' whatever follows. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | 'more' | 'bad' {
  const length = Math.min(bytes.length, V2_SIGNATURE.length);
  if (bytes.compare(V2_SIGNATURE, 0, length, 0, length) === 0) return parseV2(bytes);
  return parseV1(bytes);
}

function parseV1(bytes: Buffer): ProxyHeader | 'more' | 'bad' {
  const text = bytes.toString('latin1', 0, V1_BYTES_MAX);
  const end = text.indexOf('\n');
  if (end < 0) {
    const isBeginning = 'PROXY '.startsWith(text) || text.startsWith('PROXY ');
    return isBeginning && text.length < V1_BYTES_MAX ? 'more' : 'bad';
  }
  if (!text.startsWith('PROXY ') || text[end - 1] !== '\r') return 'bad';
  const words = text.slice('PROXY '.length, end - 1).split(' ');
  if (words[0] === 'UNKNOWN') return { length: end + 1, ends: null };
  const size = words[0] === 'TCP4' ? 4 : words[0] === 'TCP6' ? 16 : 0;
  if (size === 0 || words.length !== 5) return 'bad';
  const source = endOf(words[1]!, words[3]!, size);
  const destination = endOf(words[2]!, words[4]!, size);
  if (source === null || destination === null) return 'bad';
  return { length: end + 1, ends: { source, destination } };
}

function endOf(address: string, port: string, size: number): ProxiedEnd | null {
  const bytes = addressBytes(address);
  if (bytes?.length !== size || !/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535) {
    return null;
  }
  return { bytes: Uint8Array.from(bytes), port: Number(port) };
}

function parseV2(bytes: Buffer): ProxyHeader | 'more' | 'bad' {
  if (bytes.length < V2_FIXED_BYTES) return 'more';
  const command = bytes[12]!;
  const family = bytes[13]!;
  const rest = bytes.readUInt16BE(14);
  const isLocal = command === 0x20;
  if ((!isLocal && command !== 0x21) || rest > V2_REST_BYTES_MAX) return 'bad';
  const length = V2_FIXED_BYTES + rest;
  // TCP over IPv4, over IPv6; unspecified and a unix socket say nobody's address.
  const size = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  if (!isLocal && size === 0 && family !== 0x00 && family !== 0x31) return 'bad';
  if (!isLocal && rest < 2 * size + (size === 0 ? 0 : 4)) return 'bad';
  if (bytes.length < length) return 'more';
  if (isLocal || size === 0) return { length, ends: null };
  const at = V2_FIXED_BYTES;
  const portsAt = at + 2 * size;
  return {
    length,
    ends: {
      source: {
        bytes: Uint8Array.from(bytes.subarray(at, at + size)),
        port: bytes.readUInt16BE(portsAt),
      },
      destination: {
        bytes: Uint8Array.from(bytes.subarray(at + size, portsAt)),
        port: bytes.readUInt16BE(portsAt + 2),
      },
    },
  };
}

/**
 * Takes the header off a new connection. What follows it is back in the socket.
 * @param decide called once; null: there is no header, or not in time. Not called when the client is gone.
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  decide: (header: ProxyHeader | null) => void,
): void {
  let held = Buffer.alloc(0);
  const finish = (header: ProxyHeader | null): void => {
    clearTimeout(timer);
    socket.off('readable', onReadable);
    socket.off('close', onClose);
    if (header !== null && held.length > header.length) {
      socket.unshift(held.subarray(header.length));
    }
    decide(header);
  };
  const timer = setTimeout(() => finish(null), timeoutMs);
  const onClose = (): void => clearTimeout(timer);
  const onReadable = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    held = Buffer.concat([held, bytes]);
    const header = parseProxyHeader(held);
    if (header === 'more') return;
    finish(header === 'bad' ? null : header);
  };
  socket.on('readable', onReadable);
  socket.on('close', onClose);
}
