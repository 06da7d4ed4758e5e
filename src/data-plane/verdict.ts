// What an exchange tells its upstream's circuit breaker: one verdict, at its end, retries included. On a worker thread.
import { NO_TRIAL, leaveCircuit } from '../shared-state/circuit-words.ts';
import { COUNTER_JUDGED, COUNTER_JUDGED_FAILED } from '../shared-state/layout.ts';
import type { WorkerContext } from './worker-context.ts';

/** Nothing is said of the upstream when the client went, or before anybody was asked. */
const UNJUDGED = 0;
const PASSED = 1;
const FAILED = 2;

export class Verdict {
  /** Phase of the half-open circuit that the exchange is a trial of. */
  private trial: number = NO_TRIAL;
  private judgement: typeof UNJUDGED | typeof PASSED | typeof FAILED = UNJUDGED;

  /** @param trial as enterCircuit() gave it. */
  begin(trial: number): void {
    this.trial = trial;
    this.judgement = UNJUDGED;
  }

  pass(): void {
    this.judgement = PASSED;
  }

  fail(): void {
    this.judgement = FAILED;
  }

  /** The exchange is over. */
  deliver(context: WorkerContext, upstream: number): void {
    const { judgement } = this;
    const isPassed = judgement === UNJUDGED ? null : judgement === PASSED;
    leaveCircuit(context.state, upstream, this.trial, isPassed);
    if (judgement === UNJUDGED) return;
    context.counters.addUpstream(upstream, COUNTER_JUDGED, 1);
    if (judgement === FAILED) context.counters.addUpstream(upstream, COUNTER_JUDGED_FAILED, 1);
  }
}
