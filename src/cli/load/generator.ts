// The load generator: one autocannon run for one share of a plan. Runs in a thread of its own, so that neither
// the terminal nor what shares the process delays what it measures.
import autocannon from 'autocannon';
import { LoadConnection, type AutocannonClient } from './connection.ts';
import type { LoadShare } from './plan.ts';
import { ConnectionSchedule } from './schedule.ts';
import { LoadTally, type LoadProgress, type ShareResult } from './tally.ts';

const US_PER_MS = 1000;
const MS_PER_SECOND = 1000;

/** Connections are made this long before the first request, so that no response time includes one. */
const LEAD_US = 200 * US_PER_MS;
const WINDOW_MS = 1000;
/** autocannon looks this often whether it was told to stop. */
const STOP_CHECK_MS = 50;
/** autocannon must not end the run, the schedule does. As long as a timer can be. */
const NEVER_SECONDS = 2 ** 31 / MS_PER_SECOND - 1;

/** Sends one share of a plan and counts. */
export class LoadGenerator {
  private readonly share: LoadShare;
  private readonly tally = new LoadTally();
  private readonly schedules: ConnectionSchedule[] = [];
  private readonly connections: LoadConnection[] = [];
  private originUs = 0;
  private finishedCount = 0;
  private onAllFinished: (() => void) | undefined;
  private stoppedUs = Infinity;

  constructor(share: LoadShare) {
    this.share = share;
  }

  /** Runs the share to its end: every request sent has been answered or has failed. */
  async run(): Promise<ShareResult> {
    const { plan, count } = this.share;
    const allFinished = new Promise<void>((resolve) => {
      this.onAllFinished = resolve;
    });
    const ended = new Promise<void>((resolve, reject) => {
      const instance = autocannon(
        {
          url: plan.url,
          method: plan.method as NonNullable<autocannon.Options['method']>,
          headers: { ...plan.headers },
          ...(plan.body === '' ? {} : { body: plan.body }),
          connections: count,
          timeout: plan.timeoutMs / MS_PER_SECOND,
          duration: NEVER_SECONDS,
          sampleInt: STOP_CHECK_MS,
          setupClient: (client) => this.adopt(client as unknown as AutocannonClient),
        },
        (error: unknown) => (error === null ? resolve() : reject(error)),
      );
      void allFinished.then(() => instance.stop());
    });
    this.originUs = performance.now() * US_PER_MS + LEAD_US;
    for (const connection of this.connections) connection.begin();
    let windows: NodeJS.Timeout | undefined;
    const lead = setTimeout(() => {
      windows = setInterval(() => this.tally.closeWindow(), WINDOW_MS);
    }, LEAD_US / US_PER_MS);
    // `ended` comes first only when autocannon refuses its options.
    await Promise.race([allFinished, ended]);
    clearTimeout(lead);
    clearInterval(windows);
    await ended;
    return this.result();
  }

  /** Sends nothing more and waits for what is in flight. */
  stop(): void {
    this.stoppedUs = Math.max(0, this.nowUs());
    for (const connection of this.connections) connection.stop();
  }

  progress(): LoadProgress {
    return this.tally.progress();
  }

  private adopt(client: AutocannonClient): void {
    const schedule = new ConnectionSchedule(
      this.share.plan,
      this.share.first + this.connections.length,
    );
    this.schedules.push(schedule);
    this.connections.push(
      new LoadConnection(
        client,
        schedule,
        this.tally,
        () => this.nowUs(),
        () => this.countFinished(),
      ),
    );
  }

  private countFinished(): void {
    this.finishedCount++;
    if (this.finishedCount === this.share.count) this.onAllFinished?.();
  }

  private result(): ShareResult {
    const { amount, durationMs, rate } = this.share.plan;
    const minimumUs = amount > 0 ? 0 : Math.min(durationMs * US_PER_MS, this.stoppedUs);
    let unsent = 0;
    for (const schedule of this.schedules) {
      unsent += schedule.overdue(Math.min(this.nowUs(), this.stoppedUs));
    }
    return this.tally.result(minimumUs, rate > 0, unsent);
  }

  /** µs since the first request is due; negative before. */
  private nowUs(): number {
    return performance.now() * US_PER_MS - this.originUs;
  }
}
