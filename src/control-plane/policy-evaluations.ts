// The evaluations of policies that are under way: at most one an upstream, each with its own timer for as long as it
// lasts, so that nothing is done while there is none. Asked by the admin API; owned by the balancer.
import type { Clock } from '../clock.ts';
import type { PolicyName } from '../config/config.ts';
import { BusyError } from './faults.ts';
import {
  type EvaluationReport,
  type EvaluationSources,
  PolicyEvaluation,
} from './policy-evaluation.ts';

/** How often the evaluated policy looks at the live counts: a request's own time, so that it sees them move. */
const STEP_MS = 20;

export interface EvaluationOrder {
  readonly policy: PolicyName;
  /** How long. */
  readonly seconds: number;
}

export class PolicyEvaluations {
  private readonly sources: EvaluationSources;
  private readonly clock: Clock;
  /** By upstream: ends it now. */
  private readonly running: Map<string, () => void>;

  constructor(sources: EvaluationSources, clock: Clock) {
    this.sources = sources;
    this.clock = clock;
    this.running = new Map();
  }

  /**
   * Resolves with what the policy would have done, after the ordered time or when `signal` says so.
   * @throws UnknownNameError, also when the upstream goes meanwhile. @throws BusyError while one runs for the upstream.
   */
  async evaluate(
    upstream: string,
    { policy, seconds }: EvaluationOrder,
    signal: AbortSignal,
  ): Promise<EvaluationReport> {
    if (this.running.has(upstream)) {
      throw new BusyError(`upstream ${upstream} has an evaluation running already`);
    }
    const startUs = this.clock.nowUs();
    const evaluation = new PolicyEvaluation(upstream, policy, {
      sources: this.sources,
      nowUs: startUs,
    });
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        const end = (): void => resolve(evaluation.report());
        signal.addEventListener('abort', end, { once: true });
        this.running.set(upstream, end);
        timer = setInterval(() => {
          try {
            const nowUs = this.clock.nowUs();
            evaluation.step(nowUs);
            if (nowUs - startUs >= seconds * 1e6) end();
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        }, STEP_MS);
      });
    } finally {
      clearInterval(timer);
      this.running.delete(upstream);
    }
  }

  /** Ends all of them; each reports what it has. */
  stop(): void {
    for (const end of this.running.values()) end();
  }
}
