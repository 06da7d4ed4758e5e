// What the admin API may see and do. The balancer is it; tests may put something smaller in its place.
import type { PolicyName } from '../../config/config.ts';
import type { MetricsSource } from '../../telemetry/metrics.ts';
import type { ExplainedPick } from '../../worker-messages.ts';
import type { EndpointChange } from '../live-configuration.ts';
import type { EvaluationReport } from '../policy-evaluation.ts';
import type { EvaluationOrder } from '../policy-evaluations.ts';

/** The last explained picks of an upstream, newest first. */
export interface ExplainReport {
  readonly upstream: string;
  /** Share of its picks that are explained now. */
  readonly sample: number;
  readonly picks: readonly ExplainedPick[];
}

export interface Administered extends MetricsSource {
  /** Why it should get no traffic now; empty when it is ready. */
  unreadiness(): readonly string[];
  /** The bearer token in force; '' = none is asked for. */
  adminToken(): string;
  /** @throws InputError when refused, UnknownNameError without a file. */
  reloadFromSource(): Promise<void>;
  /** @throws UnknownNameError, InputError */
  setPolicy(upstream: string, policy: PolicyName): Promise<void>;
  /** @param sample share of the picks that are explained, 0–1. @throws UnknownNameError */
  setExplain(upstream: string, sample: number): Promise<void>;
  /** @throws UnknownNameError */
  explained(upstream: string): ExplainReport;
  /** Lets another policy pick beside the one in force. @throws UnknownNameError, BusyError */
  evaluatePolicy(
    upstream: string,
    order: EvaluationOrder,
    signal: AbortSignal,
  ): Promise<EvaluationReport>;
  /** @throws UnknownNameError, InputError */
  setEndpoint(upstream: string, address: string, change: EndpointChange): Promise<void>;
  /** @throws UnknownNameError, InputError */
  removeEndpoint(upstream: string, address: string): Promise<void>;
  /** @throws UnknownNameError */
  failWorker(index: number): void;
}
