// Starts real threads that pick from one upstream, and collects their reports. For the concurrency tests.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SharedStateBuffers } from '../../src/shared-state/layout.ts';
import type { TestUpstream } from './table.ts';

export interface PickingTask {
  readonly buffers: SharedStateBuffers;
  readonly worker: number;
  readonly seed: number;
  /** Word 0: threads that are ready; word 1: 1 = run, 2 = stop. */
  readonly control: SharedArrayBuffer;
  readonly held: SharedArrayBuffer;
  /** Picks this thread makes, misses included. */
  readonly pickCount: number;
  /** Goes on until it is stopped, adopting epochs and checking their tables. */
  readonly isEndless: boolean;
  /** Requests it keeps in flight. */
  readonly holdCount: number;
}

export interface PickingReport {
  /** Picks by slot. */
  readonly counts: readonly number[];
  /** Picks after which more were held than the cap allows. */
  readonly overshootCount: number;
  readonly tornCount: number;
  /** Picks that found no endpoint. */
  readonly missCount: number;
  readonly epochCount: number;
  /** Picks made. */
  readonly pick: number;
}

export interface PickingOptions {
  readonly threads: number;
  readonly pickCount?: number;
  readonly holdCount?: number;
}

/** Threads that all wait for go(). */
export class PickingThreads {
  private readonly workers: Worker[] = [];
  private readonly control: Int32Array;

  constructor(upstream: TestUpstream, seed: number, options: PickingOptions) {
    const control = new SharedArrayBuffer(8);
    this.control = new Int32Array(control);
    const held = new SharedArrayBuffer(upstream.state.sizes.endpoints * 4);
    for (let worker = 0; worker < options.threads; worker++) {
      const task: PickingTask = {
        buffers: upstream.state.buffers,
        worker,
        seed,
        control,
        held,
        pickCount: options.pickCount ?? 0,
        isEndless: options.pickCount === undefined,
        holdCount: options.holdCount ?? 0,
      };
      const url = new URL('./picking-thread.js', import.meta.url);
      this.workers.push(new Worker(url, { workerData: task }));
    }
  }

  /** Lets them run, once all are ready. */
  async go(): Promise<void> {
    await Promise.all(this.workers.map((worker) => once(worker, 'online')));
    for (let ready = this.readyCount(); ready < this.workers.length; ready = this.readyCount()) {
      const waiting = Atomics.waitAsync(this.control, 0, ready);
      if (waiting.async) await waiting.value;
    }
    Atomics.store(this.control, 1, 1);
    Atomics.notify(this.control, 1);
  }

  /** Tells endless ones to end. */
  stop(): void {
    Atomics.store(this.control, 1, 2);
  }

  /** @returns what each saw, once all have ended. */
  async reports(): Promise<PickingReport[]> {
    const messages = await Promise.all(this.workers.map((worker) => once(worker, 'message')));
    return messages.map(([report]) => report as PickingReport);
  }

  private readyCount(): number {
    return Atomics.load(this.control, 0);
  }
}
