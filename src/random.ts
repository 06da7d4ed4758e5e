// Chance is passed in, so that a printed seed reproduces a run.

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

/** A small seeded generator. Source: mulberry32, public domain, Tommy Ettinger. */
export class SeededRandom implements Random {
  private state: number;

  /** @param seed any 32-bit integer. */
  constructor(seed: number) {
    this.state = seed | 0;
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }
}
