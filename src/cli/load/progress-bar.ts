// The bar that a load run shows while it lasts: on stderr, and only where that is a terminal.
import { SingleBar } from 'cli-progress';
import { formatCount } from '../../telemetry/text-table.ts';
import type { LoadPlan } from './plan.ts';
import type { LoadProgress } from './tally.ts';

/** Shows how far a run is, from its first progress on. Does nothing where stderr is not a terminal. */
export class LoadProgressBar {
  private readonly plan: LoadPlan;
  private startedMs = 0;
  private bar: SingleBar | undefined;

  constructor(plan: LoadPlan) {
    this.plan = plan;
  }

  update(progress: LoadProgress): void {
    if (!process.stderr.isTTY) return;
    this.bar ??= this.start();
    const elapsedMs = performance.now() - this.startedMs;
    const done = progress.answered + progress.failed;
    const value = this.plan.amount > 0 ? done : Math.min(elapsedMs, this.plan.durationMs);
    this.bar.update(value, {
      answered: formatCount(progress.answered),
      failed: formatCount(progress.failed),
    });
  }

  /** Clears the bar away. */
  stop(): void {
    this.bar?.stop();
  }

  private start(): SingleBar {
    const bar = new SingleBar({
      format: '{bar} {percentage} %  {answered} answered, {failed} failed',
      stream: process.stderr,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
      hideCursor: true,
      clearOnComplete: true,
    });
    this.startedMs = performance.now();
    bar.start(this.plan.amount > 0 ? this.plan.amount : this.plan.durationMs, 0, {
      answered: '0',
      failed: '0',
    });
    return bar;
  }
}
