// Who has which index in shared memory: endpoints their slots, upstreams their indices. An identity keeps its
// index for as long as it exists, so counters, health and response times survive reloads. A removed one's
// index drains first (nothing in flight, nobody reads a table that names it) and only then goes to another.
// Primary only; created by slot-directory.ts.

/** What an index stands for. Called by the directory. */
export interface IndexedWords {
  readonly capacity: number;
  /** Nothing is in flight on it. */
  isIdle(index: number): boolean;
  /** Clears the words for a new owner. */
  give(index: number): void;
  /** Notes in shared memory what the index is used for. */
  mark(index: number, use: 'free' | 'used' | 'draining'): void;
}

/** Idle sweeps before an index is free. More than one: a worker settles a request's words in several steps. */
const IDLE_SWEEPS = 2;

interface Draining {
  readonly index: number;
  idleSweeps: number;
}

/** Identities (any string) to indices in [0, capacity). */
export class IndexDirectory {
  private readonly words: IndexedWords;
  private readonly used = new Map<string, number>();
  private readonly draining = new Map<string, Draining>();
  /** Longest free first, so that an index rests before it is given again. */
  private readonly free: number[] = [];
  private readonly generations: number[] = [];
  private usedMax = 0;

  constructor(words: IndexedWords) {
    this.words = words;
    for (let index = 0; index < words.capacity; index++) {
      this.free.push(index);
      this.generations.push(0);
    }
  }

  get capacity(): number {
    return this.words.capacity;
  }

  get drainingCount(): number {
    return this.draining.size;
  }

  /** Removed identities whose index is not free yet. */
  get drainingEntries(): readonly (readonly [identity: string, index: number])[] {
    return Array.from(this.draining, ([identity, { index }]) => [identity, index] as const);
  }

  /** One more than the highest index ever given. */
  get highWater(): number {
    return this.usedMax;
  }

  /** @returns undefined when the identity has none, or has been removed. */
  indexOf(identity: string): number | undefined {
    return this.used.get(identity);
  }

  /** How often the index was given away; tells a new owner from the old one. */
  generationOf(index: number): number {
    return this.generations[index] ?? 0;
  }

  /** How many of these would find no place now. They may include present ones. */
  overflowOf(identities: Iterable<string>): number {
    let wanted = 0;
    for (const identity of identities) {
      if (!this.used.has(identity) && !this.draining.has(identity)) wanted++;
    }
    return Math.max(0, wanted - this.free.length);
  }

  /** The identity's index: the one it has, the one it is draining from, or a fresh one. @throws Error when full: ask overflowOf() before. */
  acquire(identity: string): number {
    const present = this.used.get(identity);
    if (present !== undefined) return present;
    const index = this.takeBack(identity) ?? this.takeFree();
    this.used.set(identity, index);
    this.words.mark(index, 'used');
    this.usedMax = Math.max(this.usedMax, index + 1);
    return index;
  }

  /** Lets every identity that is not in `kept` drain. @returns the removed ones. */
  retain(kept: ReadonlySet<string>): string[] {
    const removed: string[] = [];
    for (const [identity, index] of this.used) {
      if (kept.has(identity)) continue;
      this.used.delete(identity);
      this.draining.set(identity, { index, idleSweeps: 0 });
      this.words.mark(index, 'draining');
      removed.push(identity);
    }
    return removed;
  }

  /** Frees what has drained. @param isUnread no worker reads tables older than the last removal. */
  sweep(isUnread: boolean): void {
    for (const [identity, entry] of this.draining) {
      if (!isUnread || !this.words.isIdle(entry.index)) {
        entry.idleSweeps = 0;
        continue;
      }
      if (++entry.idleSweeps < IDLE_SWEEPS) continue;
      this.draining.delete(identity);
      this.words.mark(entry.index, 'free');
      this.free.push(entry.index);
    }
  }

  private takeBack(identity: string): number | undefined {
    const entry = this.draining.get(identity);
    this.draining.delete(identity);
    return entry?.index;
  }

  private takeFree(): number {
    const index = this.free.shift();
    if (index === undefined) throw new Error('no index is free');
    this.words.give(index);
    this.generations[index]!++;
    return index;
  }
}
