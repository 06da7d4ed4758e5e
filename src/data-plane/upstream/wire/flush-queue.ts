// Gathers what is to be written in one turn of the event loop, so that the requests a turn brings for one
// connection leave in one write. Used by the wire engine's connections, one queue a thread.

export interface Flushable {
  /** Writes what has been gathered. */
  flush(): void;
}

/** Calls each item once, after all sockets of the turn were read. */
export class FlushQueue {
  private items: Flushable[];
  private spare: Flushable[];
  private isScheduled: boolean;
  private readonly run: () => void;

  constructor() {
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
    this.items = this.spare;
    this.spare = items;
    for (let index = 0; index < items.length; index++) items[index]!.flush();
    items.length = 0;
  }
}

/** This thread's queue. */
export const flushQueue = new FlushQueue();
