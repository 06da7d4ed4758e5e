// What the process says of itself: the shared words by their names. Made by the primary, served as
// `GET /v1/state`, and the source of the metrics. Durations and times say their unit in their names; a latency
// is in ms.

export interface StateReport {
  readonly version: string;
  /** Latest published tables. */
  readonly epoch: number;
  readonly uptimeSeconds: number;
  readonly isDraining: boolean;
  readonly listeners: readonly ListenerReport[];
  readonly upstreams: Readonly<Record<string, UpstreamReport>>;
  readonly rateLimits: Readonly<Record<string, RateLimitReport>>;
  readonly workers: readonly WorkerReport[];
  /** Endpoints that were removed and still have requests in flight. */
  readonly removed: readonly {
    readonly upstream: string;
    readonly address: string;
    readonly active: number;
  }[];
}

export interface ListenerReport {
  readonly name: string;
  readonly address: string;
  /** Of clients, over all workers. */
  readonly connections: {
    readonly open: number;
    readonly accepted: number;
    /** Closed at once for `limits.connections` or `limits.connectionsPerAddress`. */
    readonly refused: number;
  };
}

/** Since the limit has its table: a limit that counts something else begins anew. */
export interface RateLimitReport {
  readonly store: 'local' | 'redis';
  readonly allowed: number;
  readonly refused: number;
  /** Allowed after a wait. */
  readonly delayed: number;
  /** Keys that were forgotten to make room. */
  readonly evictions: number;
  /** Workers that cannot reach the limit's Redis and judge by this machine's table. */
  readonly storeAway: number;
  /** Requests judged so. */
  readonly judgedLocally: number;
}

export interface UpstreamReport {
  readonly policy: string;
  readonly epoch: number;
  /** Attempts sent to its present endpoints so far. */
  readonly requests: number;
  /** Requests in flight. */
  readonly active: number;
  readonly retries: number;
  readonly retriesActive: number;
  readonly retriesDenied: number;
  /** Requests for which no endpoint could be picked. */
  readonly noEndpoint: number;
  /** Requests that wait for an endpoint. */
  readonly pending: number;
  /** Connections to its endpoints, open or opening. */
  readonly connections: number;
  /** Requests in flight that the adaptive limit allows; 0 = there is none. */
  readonly concurrencyLimit: number;
  /** Requests refused for it or for maxRequests. */
  readonly overLimit: number;
  /** Requests sent a second time because the answer was late, and those whose second answer came first. */
  readonly hedges: number;
  readonly hedgesWon: number;
  /** As the mirror of a route: copies sent, dropped for want of room, failed. */
  readonly mirrors: number;
  readonly mirrorsDropped: number;
  readonly mirrorsFailed: number;
  /** Checks are not believed, because too few endpoints are left. */
  readonly panic: boolean;
  readonly belief: 'normal' | 'panic' | 'last-resort';
  /** Share of the primaries that may be picked in normal times, 0–1. */
  readonly eligibleShare: number;
  /** Backups are picked beside the primaries, because too few of these are left. */
  readonly backupsJoin: boolean;
  readonly circuit: 'closed' | 'open' | 'half-open';
  readonly latency: LatencyReport;
  readonly endpoints: readonly EndpointReport[];
}

export interface EndpointReport {
  readonly address: string;
  readonly weight: number;
  /** What the policy reckons with now, in units of `weight`. */
  readonly effectiveWeight: number;
  /** 0 = unlimited. */
  readonly maxConnections: number;
  readonly backup: boolean;
  readonly zone: string;
  /** Requests in flight over all workers. */
  readonly active: number;
  /** Attempts so far, and those that failed. */
  readonly requests: number;
  readonly failures: number;
  readonly connectFailures: number;
  readonly responses5xx: number;
  /** Bytes of request bodies sent to it, and of response bodies that came from it. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly consecutiveConnectFailures: number;
  readonly consecutive5xx: number;
  /** It has owed an answer for far longer than usual, and nothing comes from it. */
  readonly standsStill: boolean;
  /** How long its answer may take before it stands still; 0 = not known yet. */
  readonly patienceMs: number;
  /** By the active check; unknown until it has judged. */
  readonly health: 'unknown' | 'up' | 'down';
  /** By the operator. */
  readonly state: 'active' | 'draining' | 'down';
  readonly ejected: boolean;
  /** ISO 8601; null when not ejected. */
  readonly ejectedUntil: string | null;
  readonly ejections: number;
  /** Of the present ejection or the last one; '' = never ejected. */
  readonly ejectionReason: string;
  /** The active check; null when it is not probed. */
  readonly probe: {
    readonly passed: number;
    readonly failed: number;
    readonly lastReason: string;
    /** ISO 8601; null before the first. */
    readonly lastAt: string | null;
    readonly lastDurationMs: number;
  } | null;
  /** May be picked now, all verdicts considered. */
  readonly eligible: boolean;
  readonly latency: LatencyReport;
  /** Its place in shared memory, and how often that was given away. */
  readonly slot: number;
  readonly generation: number;
}

/** ms to the response head; 0 without a sample. */
export interface LatencyReport {
  readonly p50: number;
  readonly p99: number;
}

export interface WorkerReport {
  readonly index: number;
  readonly state: string;
  /** Its event loop has not turned for seconds. */
  readonly stalled: boolean;
  readonly requests: number;
  /** Of them, on uws listeners: came in pieces, which ends their connections. */
  readonly headsInPieces: number;
  readonly active: number;
  readonly epoch: number;
  readonly heartbeat: number;
  readonly starts: number;
  /** The proxy's own answers and other ends, by error code; only codes that occurred. */
  readonly errors: Readonly<Record<string, number>>;
  /** Its stripe: what it holds of the in-flight counts; only what is not 0. */
  readonly holds: {
    readonly endpoints: readonly {
      readonly upstream: string;
      readonly address: string;
      readonly active: number;
    }[];
    readonly upstreams: readonly {
      readonly upstream: string;
      readonly requests: number;
      readonly retries: number;
      readonly pending: number;
    }[];
  };
}
