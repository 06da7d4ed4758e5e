// What the evaluator's parts share: who an endpoint is, and what happens to endpoints as logs and metrics name it.
import type { Address } from '../config/config.ts';

/** An endpoint and where its words are. Slot and generation are its identity over reloads. */
export interface WatchedEndpoint {
  readonly slot: number;
  readonly generation: number;
  readonly address: Address;
  readonly isBackup: boolean;
}

export const HEALTH_EVENTS = [
  'probe-up',
  'probe-down',
  'eject-consecutive-5xx',
  'eject-success-rate',
  'eject-latency',
  'eject-connect',
  /** Would be ejected, but no more may be. */
  'keep',
  'restore',
] as const;

/** A transition of one endpoint. */
export type HealthEvent = (typeof HEALTH_EVENTS)[number];

/** Told once for each transition. @param detail for the operator, in a sentence's part. */
export type OnHealthEvent = (
  endpoint: WatchedEndpoint,
  event: HealthEvent,
  detail: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;
