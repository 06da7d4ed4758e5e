// 64 bits of a keyed hash of a string, by which limits tell keys apart. Keyed, since keys come from clients, who must
// not be able to choose keys that collide. Source: HalfSipHash-1-3 (Aumasson, Bernstein), over UTF-16 code
// units, two a word. Pure; on the request path: one object a worker, no allocation.

export class KeyDigest {
  /** The digest; low and high are never both 0. Signed 32-bit integers. */
  low = 0;
  high = 0;
  private v0 = 0;
  private v1 = 0;
  private v2 = 0;
  private v3 = 0;

  /** @param seedLow @param seedHigh the hash's key, 32-bit integers. */
  digest(key: string, seedLow: number, seedHigh: number): void {
    this.v0 = seedLow;
    // The second constant asks for 64 bits of output, the others are the algorithm's.
    this.v1 = seedHigh ^ 0xee;
    this.v2 = seedLow ^ 0x6c796765;
    this.v3 = seedHigh ^ 0x74656462;
    const even = key.length & ~1;
    for (let index = 0; index < even; index += 2) {
      this.absorb(key.charCodeAt(index) | (key.charCodeAt(index + 1) << 16));
    }
    const last = even < key.length ? key.charCodeAt(even) : 0;
    this.absorb((key.length << 17) ^ last);
    this.v2 ^= 0xee;
    this.finish();
    this.low = this.v1 ^ this.v3;
    this.v1 ^= 0xdd;
    this.finish();
    this.high = this.v1 ^ this.v3;
    if (this.low === 0 && this.high === 0) this.high = 1;
  }

  private absorb(word: number): void {
    this.v3 ^= word;
    this.round();
    this.v0 ^= word;
  }

  private finish(): void {
    this.round();
    this.round();
    this.round();
  }

  private round(): void {
    let { v0, v1, v2, v3 } = this;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}
