// What the tests of a file or of a describe share is released at its end, each thing whatever becomes of the others. node:test
// leaves out the remaining `after` hooks once one has failed, so a list of hooks would not do: one failure would keep
// sockets and processes open, and with them the run.
import { after } from 'node:test';

/** To be called where `after` would be. @param releases run in this order; the first failure is thrown when all have run. */
export function releaseAfter(...releases: readonly (() => unknown)[]): void {
  after(async () => {
    const failures: unknown[] = [];
    for (const release of releases) {
      try {
        await release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  });
}
