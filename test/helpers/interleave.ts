// Runs code as if other threads came in between: every atomic operation is a point at which another actor's whole
// operation may run first, itself interrupted in the same way. One thread, so a seed reproduces a schedule.
type AtomicsMethod = (...parameters: unknown[]) => unknown;

const METHODS = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'exchange',
  'compareExchange',
  'notify',
] as const;

/** What is about to happen in shared memory. */
export interface AtomicStep {
  readonly method: string;
  readonly parameters: readonly unknown[];
}

/**
 * Calls `body` with Atomics instrumented; restored afterwards.
 * @param before called ahead of each operation. What it throws unwinds the operation, as a dying thread would.
 * @param after called with the operation's result.
 */
export function interleave(
  before: (step: AtomicStep) => void,
  after: (step: AtomicStep, result: unknown) => void,
  body: () => void,
): void {
  const atomics = Atomics as unknown as Record<string, AtomicsMethod>;
  const originals = METHODS.map((name) => [name, atomics[name]!] as const);
  for (const [method, original] of originals) {
    atomics[method] = (...parameters: unknown[]) => {
      const step = { method, parameters };
      before(step);
      const result = original(...parameters);
      after(step, result);
      return result;
    };
  }
  try {
    body();
  } finally {
    for (const [name, original] of originals) atomics[name] = original;
  }
}
