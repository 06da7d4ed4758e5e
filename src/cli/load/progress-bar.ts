// The bar that a load run shows while it lasts: on stderr, and only where that is a terminal.
import { SingleBar } from 'cli-progress';
import { formatCount } from '../../telemetry/text-table.ts';
import type { LoadPlan } from './plan.ts';
import type { LoadProgress } from './tally.ts';

/** Shows how far a run is. Does nothing where stderr is not a terminal. */
export class LoadProgressBar {
  private readonly plan: LoadPlan;
  private readonly startedMs = performance.now();
  private readonly bar: SingleBar | undefined;

  constructor(plan: LoadPlan) {
    this.plan = plan;
    if (!process.stderr.isTTY) return;
    const format = '{bar} {percentage} %  {answered} answered, {rate}/s, {failed} failed';
    this.bar = new SingleBar({
      format,
      stream: process.stderr,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
      hideCursor: true,
      clearOnComplete: true,
    });
    const total = plan.amount > 0 ? plan.amount : plan.durationMs;
    this.bar.start(total, 0, { answered: '0', rate: '0', failed: '0' });
  }

  update(progress: LoadProgress): void {
    const elapsedMs = performance.now() - this.startedMs;
    const done = progress.answered + progress.failed;
    const value = this.plan.amount > 0 ? done : Math.min(elapsedMs, this.plan.durationMs);
    this.bar?.update(value, {
      answered: formatCount(progress.answered),
      rate: formatCount((progress.answered / elapsedMs) * 1000),
      failed: formatCount(progress.failed),
    });
  }

  /** Clears the bar away. */
  stop(): void {
    this.bar?.stop();
  }
}
