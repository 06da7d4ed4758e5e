// Time is passed in, so that simulations decide it. Used by every thread.
// Imported, because the global of the same name is a getter that costs as much as the reading itself.
import { performance } from 'node:perf_hooks';

export interface Clock {
  /** Monotonic time in µs from an arbitrary origin that is the same for all threads of the process. */
  nowUs(): number;
}

// performance.now() starts at 0 in each thread but is cheap; hrtime is the same for all threads but
// allocates. One reading of both when the thread starts gives the cheap one the common origin.
const [originSeconds, originNanoseconds] = process.hrtime();
const originUs = originSeconds * 1e6 + originNanoseconds / 1000 - performance.now() * 1000;

/** The process's monotonic clock, comparable between its threads to a few µs. */
export const systemClock: Clock = {
  nowUs(): number {
    return originUs + performance.now() * 1000;
  },
};
