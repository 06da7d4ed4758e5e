// Who the client is, for the upstream: X-Forwarded-For/-Proto/-Host and Forwarded. A peer that the operator
// trusts is believed and added to; everyone else's words are replaced. Source: RFC 7239.
import { addressBytes } from '../config/address.ts';
import type { Cidr } from '../config/config.ts';
import { inOnePiece } from './latin1.ts';

/** A client's address as text: dotted IPv4 (also for v4-mapped IPv6) or compressed IPv6; '' on a unix socket. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) return '';
  if (isV4Mapped(bytes)) return addressText(bytes.subarray(12));
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) {
    groups.push((bytes[index]! << 8) | bytes[index + 1]!);
  }
  return compressGroups(groups);
}

function isV4Mapped(bytes: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) if (bytes[index] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** Source: RFC 5952 §4.2: the longest run of two or more zero groups, the first of equals. */
function compressGroups(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = (part: readonly number[]): string =>
    part.map((group) => group.toString(16)).join(':');
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

/** True when the address lies in one of the blocks. v4-mapped IPv6 counts as IPv4. */
export function isInBlocks(bytes: Uint8Array, blocks: readonly Cidr[]): boolean {
  const address = bytes.length === 16 && isV4Mapped(bytes) ? bytes.subarray(12) : bytes;
  for (const block of blocks) {
    if (block.bytes.length === address.length && isInBlock(address, block)) return true;
  }
  return false;
}

function isInBlock(address: Uint8Array, block: Cidr): boolean {
  for (let bit = 0; bit < block.prefixBits; bit += 8) {
    const bits = Math.min(8, block.prefixBits - bit);
    const mask = 0xff & (0xff << (8 - bits));
    if ((address[bit >> 3]! & mask) !== (block.bytes[bit >> 3]! & mask)) return false;
  }
  return true;
}

/** The forwarding headers as received; '' = absent. */
export interface ReceivedForwarding {
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  readonly forwardedHost: string;
  readonly forwarded: string;
}

/**
 * The forwarding headers to send on, as `name: value\r\n` lines.
 * @param client textual address; '' = unknown (unix socket).
 */
export function forwardingBlock(
  received: ReceivedForwarding,
  isTrusted: boolean,
  client: string,
  proto: string,
  host: string,
): string {
  const address = client === '' ? 'unknown' : client;
  const node = address.includes(':') ? `"[${address}]"` : address;
  const element = `for=${node};host="${host}";proto=${proto}`;
  if (!isTrusted) {
    return (
      `x-forwarded-for: ${address}\r\nx-forwarded-proto: ${proto}\r\n` +
      `x-forwarded-host: ${host}\r\nforwarded: ${element}\r\n`
    );
  }
  return (
    `x-forwarded-for: ${append(received.forwardedFor, address)}\r\n` +
    `x-forwarded-proto: ${received.forwardedProto || proto}\r\n` +
    `x-forwarded-host: ${received.forwardedHost || host}\r\n` +
    `forwarded: ${append(received.forwarded, element)}\r\n`
  );
}

function append(list: string, value: string): string {
  return list === '' ? value : `${list}, ${value}`;
}

/** Entries kept before the cache is dropped whole: a bound, not a tuned size. */
const CACHE_ENTRIES_MAX = 4096;

/** Who a connection comes from. The same object for the same address, as long as it is in the cache. */
export interface Origin {
  /** 4 or 16 bytes; none on a unix socket. */
  readonly bytes: Uint8Array;
  /** As addressText says. */
  readonly text: string;
  readonly isTrusted: boolean;
  /** The forwarding headers for the host it named last, when it is not trusted. */
  lastHost: string;
  lastBlock: string;
}

/**
 * A listener's forwarding headers. The block of an untrusted client depends only on its address and the host it
 * named, so it is built once for a connection's many requests.
 */
export class Forwarding {
  private readonly trusted: readonly Cidr[];
  private readonly proto: string;
  /** By IPv4 address as a signed number. */
  private readonly origins: Map<number, Origin> = new Map();

  constructor(trusted: readonly Cidr[], proto: string) {
    this.trusted = trusted;
    this.proto = proto;
  }

  /** @param bytes kept: not to be changed afterwards. */
  originOf(bytes: Uint8Array): Origin {
    const offset = bytes.length - 4;
    if (offset !== 0 && (offset !== 12 || !isV4Mapped(bytes))) return this.makeOrigin(bytes);
    const key =
      (bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!;
    let origin = this.origins.get(key);
    if (origin === undefined) {
      if (this.origins.size >= CACHE_ENTRIES_MAX) this.origins.clear();
      origin = this.makeOrigin(bytes);
      this.origins.set(key, origin);
    }
    return origin;
  }

  private makeOrigin(bytes: Uint8Array): Origin {
    const isTrusted = this.trusted.length > 0 && isInBlocks(bytes, this.trusted);
    return { bytes, text: addressText(bytes), isTrusted, lastHost: '', lastBlock: '' };
  }

  /**
   * The client's address: the last one in X-Forwarded-For that is no trusted proxy's, when a trusted proxy sent it; else
   * the peer's own.
   */
  clientOf(forwardedFor: string, origin: Origin): string {
    if (!origin.isTrusted || forwardedFor === '') return origin.text;
    let client = origin.text;
    for (const entry of forwardedFor.split(',').reverse()) {
      const parsed = addressBytes(entry.trim());
      if (parsed === undefined) return client;
      const entryBytes = Uint8Array.from(parsed);
      client = addressText(entryBytes);
      if (!isInBlocks(entryBytes, this.trusted)) return client;
    }
    return client;
  }

  /** @param host as received: checked, not ''. */
  block(received: ReceivedForwarding, origin: Origin, host: string): string {
    if (origin.isTrusted) return forwardingBlock(received, true, origin.text, this.proto, host);
    if (origin.lastHost !== host) {
      // In one piece: it is written with many requests, and put together of its pieces each time it would cost more than all else.
      origin.lastBlock = inOnePiece(
        forwardingBlock(received, false, origin.text, this.proto, host),
      );
      origin.lastHost = host;
    }
    return origin.lastBlock;
  }
}
