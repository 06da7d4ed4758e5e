// What a load run is asked to do, as plain data: it crosses to the generator's threads.

/** Requests are sent at `rate` if it is not 0, else as fast as answers come; until `amount` is sent if it
 *  is not 0, else for `durationMs`. */
export interface LoadPlan {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** ≥ `threads`. */
  readonly connections: number;
  readonly threads: number;
  /** Requests per second over all connections of all threads. */
  readonly rate: number;
  readonly durationMs: number;
  readonly amount: number;
  /** ≥ 1000: autocannon takes no less. */
  readonly timeoutMs: number;
}

/** One thread's part of a plan: connections `first` to `first + count - 1` of the plan's. */
export interface LoadShare {
  readonly plan: LoadPlan;
  readonly first: number;
  readonly count: number;
}

/** The one message that a generator thread takes: it sends nothing more and reports what it has. */
export const STOP_MESSAGE = 'stop';

/** Divides the plan's connections over its threads, no two shares differing by more than one. */
export function dividePlan(plan: LoadPlan): LoadShare[] {
  const shares: LoadShare[] = [];
  let first = 0;
  for (let thread = 0; thread < plan.threads; thread++) {
    const count = evenShare(plan.connections, plan.threads, thread);
    shares.push({ plan, first, count });
    first += count;
  }
  return shares;
}

/** The part of `whole` that falls to `index` when it is divided into `parts` whole numbers. */
export function evenShare(whole: number, parts: number, index: number): number {
  return Math.floor(whole / parts) + (index < whole % parts ? 1 : 0);
}
