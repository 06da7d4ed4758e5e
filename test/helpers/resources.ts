// What the tests of a file or of a describe share: each thing is handed over as soon as it is there, and released at the
// end whatever becomes of the others. node:test leaves out the remaining `after` hooks once one has failed, so a list
// of hooks would not do: one failure would keep sockets and processes open, and with them the run.
import { after } from 'node:test';

export class Resources {
  private readonly releases: (() => unknown)[] = [];

  /** Registers itself with what is being described: to be made where `before` is called. */
  constructor() {
    after(() => this.release());
  }

  /** @param release is called at the end, before those that were added earlier. */
  add(release: () => unknown): void {
    this.releases.push(release);
  }

  /** Releases everything now. @throws the first failure, after all have been tried. */
  async release(): Promise<void> {
    const failures: unknown[] = [];
    for (const release of this.releases.splice(0).toReversed()) {
      try {
        await release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, 'not all was released');
  }
}
