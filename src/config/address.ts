// Socket addresses and CIDR blocks as an operator writes them, and their one canonical spelling.
// Called while a configuration is validated, and by whoever gets an address at run time (the admin
// API, discovery), so that the same server always has the same identity.
import { isIPv4, isIPv6 } from 'node:net';
import type { Address, Cidr } from './config.ts';

// sockaddr_un.sun_path on Linux is 108 bytes with its closing NUL.
const UNIX_PATH_BYTES_MAX = 107;

/** `host:port`, `[v6]:port` or `unix:/path`; undefined when it is none of them.
 *  @param portMin 0 where the system may choose a port (a listener), else 1. */
export function parseAddress(text: string, portMin: 0 | 1): Address | undefined {
  if (text.startsWith('unix:')) return parseUnixAddress(text);
  const match = /^(?:\[([^\]]*)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port < portMin || port > 65_535) return undefined;
  if (match[1] !== undefined) {
    const host = canonicalIpv6(match[1]);
    return host === undefined ? undefined : { kind: 'tcp', host, port, text: `[${host}]:${port}` };
  }
  const host = (match[2] ?? '').toLowerCase();
  return isHostName(host) ? { kind: 'tcp', host, port, text: `${host}:${port}` } : undefined;
}

function parseUnixAddress(text: string): Address | undefined {
  const path = text.slice('unix:'.length);
  const isUsable =
    path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= UNIX_PATH_BYTES_MAX;
  return isUsable ? { kind: 'unix', path, text } : undefined;
}

/** Whether a lower-case text is an IPv4 address or a host name (RFC 1123, underscores allowed). */
export function isHostName(text: string): boolean {
  if (isIPv4(text)) return true;
  if (text.length > 253) return false;
  const labels = text.split('.');
  // A last label of digits only is a mistyped IPv4 address, not a name.
  if (/^\d+$/.test(labels.at(-1) ?? '')) return false;
  return labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
}

/** Whether only this machine can reach the address. A name other than localhost counts as reachable. */
export function isLoopback(address: Address): boolean {
  if (address.kind === 'unix') return true;
  const { host } = address;
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** A CIDR block or a single address; undefined when it is neither. Host bits are cleared. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  if (match === null) return undefined;
  const bytes = addressBytes(match[1] ?? '');
  if (bytes === undefined) return undefined;
  const bitCount = bytes.length * 8;
  const prefixBits = match[2] === undefined ? bitCount : Number(match[2]);
  if (prefixBits > bitCount) return undefined;
  const cleared = bytes.map((byte, index) => {
    const keptBits = Math.min(8, Math.max(0, prefixBits - index * 8));
    return byte & (0xff << (8 - keptBits)) & 0xff;
  });
  return { text, bytes: cleared, prefixBits };
}

/** The 4 or 16 bytes of an IP address; undefined when the text is none. */
export function addressBytes(text: string): number[] | undefined {
  if (isIPv4(text)) return text.split('.').map(Number);
  const canonical = canonicalIpv6(text);
  if (canonical === undefined) return undefined;
  const [head = '', tail] = canonical.split('::');
  const headGroups = head === '' ? [] : head.split(':');
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeroCount = 8 - headGroups.length - tailGroups.length;
  const groups = [...headGroups, ...Array<string>(zeroCount).fill('0'), ...tailGroups];
  return groups.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function canonicalIpv6(text: string): string | undefined {
  // Zone identifiers (%eth0) name an interface of one machine and are not accepted.
  if (!isIPv6(text) || text.includes('%')) return undefined;
  // The URL parser compresses, lower-cases and writes an embedded IPv4 part in hexadecimal.
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}
