// Builds the ring of the consistent-hash policy: points on the circle of 32-bit hashes, each owned by an
// endpoint. Two ways to make points: ours, and ketama as nginx does it. Called by build-tables.ts on the primary.
//
// A ring of n points is 2n words: the points as unsigned 32-bit numbers in ascending order, then their owners.
import { CRC_START, crcByte, crcEnd, crcString, hashKey, mix32 } from './key-hash.ts';

/** An endpoint as hash tables see it: the configured weight, so that a slow start moves no point. */
export interface HashedEndpoint {
  readonly address: string;
  /** Integer ≥ 1. */
  readonly weight: number;
  /** Entry index in the upstream. */
  readonly index: number;
}

export type RingFunction = 'crc32' | 'ketama';

/** Points of one ring at most; weights that ask for more are scaled down together. */
export const RING_POINTS_MAX = 1 << 17;

/** Source: nginx, ngx_http_upstream_hash_module.c. */
const KETAMA_POINTS = 160;

interface Point {
  readonly hash: number;
  readonly owner: HashedEndpoint;
}

/**
 * @param replicas points for a unit of weight; ketama has its own number.
 * @returns 2 × points words; empty when there is no endpoint.
 */
export function buildHashRing(
  endpoints: readonly HashedEndpoint[],
  ringFunction: RingFunction,
  replicas: number,
): Int32Array {
  const perWeight = ringFunction === 'ketama' ? KETAMA_POINTS : replicas;
  let wanted = 0;
  for (const { weight } of endpoints) wanted += weight * perWeight;
  const scale = Math.min(1, RING_POINTS_MAX / wanted);
  const points: Point[] = [];
  for (const owner of endpoints) {
    const count = Math.max(1, Math.floor(owner.weight * perWeight * scale));
    if (ringFunction === 'ketama') addKetamaPoints(points, owner, count);
    else addPoints(points, owner, count);
  }
  // Where two endpoints fall on one point, the lesser address owns it in every process, whatever the order of the
  // configuration; nginx keeps the one that is configured first.
  if (ringFunction === 'ketama') points.sort((a, b) => a.hash - b.hash);
  else points.sort((a, b) => a.hash - b.hash || compare(a.owner.address, b.owner.address));
  const kept = points.filter(
    (point, place) => place === 0 || point.hash !== points[place - 1]!.hash,
  );
  const ring = new Int32Array(2 * kept.length);
  for (const [place, point] of kept.entries()) {
    ring[place] = point.hash;
    ring[kept.length + place] = point.owner.index;
  }
  return ring;
}

/**
 * The i-th point of an endpoint is the CRC-32 of `ADDRESS-i`, mixed: CRCs of texts that differ in a digit lie in
 * patterns, and unmixed points gave one of ten neighbouring addresses 12 to 20 % of the keys (docs/policies.md).
 */
function addPoints(points: Point[], owner: HashedEndpoint, count: number): void {
  for (let replica = 0; replica < count; replica++) {
    points.push({ hash: mix32(hashKey(`${owner.address}-${replica}`)), owner });
  }
}

/** Each point is the CRC-32 of HOST, a zero byte, PORT and the point before, little-endian, 0 at first. */
function addKetamaPoints(points: Point[], owner: HashedEndpoint, count: number): void {
  const [host, port] = splitPort(owner.address);
  const base = crcString(crcByte(crcString(CRC_START, host), 0), port);
  let hash = 0;
  for (let point = 0; point < count; point++) {
    let crc = base;
    for (let shift = 0; shift < 32; shift += 8) crc = crcByte(crc, (hash >>> shift) & 0xff);
    hash = crcEnd(crc);
    points.push({ hash, owner });
  }
}

/** As nginx splits a server's name: digits after the last colon are the port; a unix socket has none. */
function splitPort(address: string): readonly [string, string] {
  if (address.startsWith('unix:')) return [address.slice('unix:'.length), ''];
  const match = /^(?<host>.*):(?<port>\d*)$/s.exec(address);
  return match === null ? [address, ''] : [match.groups!['host']!, match.groups!['port']!];
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
