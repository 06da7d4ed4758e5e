// What is written at the end of a turn of the event loop, once all sockets of the turn have been read: requests to
// endpoints, answers to clients. Written one after the other they cost less than each in its place: those that go to
// one connection leave in one write, and whoever they wake is still awake when the next one comes. (Measured: waking a
// peer that has gone to sleep costs as much as the rest of the write.) One a thread.

export interface Flushable {
  /** Writes what has been gathered. */
  flush(): void;
}

/** Calls each item once, at the end of the turn in which it was added. */
export class TurnEnd {
  /** Counts turns: goes up before the items of one are called. Those that are added from then on are the next one's. */
  turn: number;
  private items: Flushable[];
  private spare: Flushable[];
  private isScheduled: boolean;
  private readonly run: () => void;

  constructor() {
    this.turn = 0;
    this.items = [];
    this.spare = [];
    this.isScheduled = false;
    this.run = () => this.flushAll();
  }

  /** The caller sees to it that an item is added once until it is flushed. */
  add(item: Flushable): void {
    this.items.push(item);
    if (this.isScheduled) return;
    this.isScheduled = true;
    // Not a microtask: those run after every single callback, long before the turn's other sockets are read.
    setImmediate(this.run);
  }

  private flushAll(): void {
    const { items } = this;
    this.isScheduled = false;
    this.turn++;
    this.items = this.spare;
    this.spare = items;
    try {
      for (let index = 0; index < items.length; index++) items[index]!.flush();
    } finally {
      // Whoever fails takes the worker down; what was left is not written in a later turn, when its copy is another's.
      items.length = 0;
    }
  }
}

/** This thread's. */
export const turnEnd: TurnEnd = new TurnEnd();
