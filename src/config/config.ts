// The configuration as the product uses it: every default filled in, every unit in the name, deeply
// frozen. Built only by load.ts from what the operator wrote; passed to worker threads by structured
// clone, so it holds plain data only. Names follow the operator's keys, plus the unit.

/** `auto` is resolved before this type exists: every number here is final. */
export interface Config {
  readonly version: 1;
  /** Data-plane threads, ≥ 1. */
  readonly workers: number;
  readonly admin: AdminConfig;
  readonly log: LogConfig;
  readonly shutdown: { readonly drainTimeoutMs: number };
  /** Sizes of the shared tables. They are allocated once at start, so a reload cannot change them. */
  readonly capacity: CapacityConfig;
  /** Where this proxy stands: its upstreams' endpoints of the same zone are preferred. '' = no zone is. */
  readonly zone: string;
  readonly listeners: readonly ListenerConfig[];
  readonly routes: readonly RouteConfig[];
  readonly rateLimits: Readonly<Record<string, RateLimitConfig>>;
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
}

export interface CapacityConfig {
  /** Endpoint slots over all upstreams, those still draining included. */
  readonly endpoints: number;
  readonly upstreams: number;
}

export interface AdminConfig {
  readonly address: Address;
  /** Empty: no token is asked for; only allowed on loopback and unix sockets. */
  readonly token: string;
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

export interface LogConfig {
  readonly level: LogLevel;
  readonly access: {
    readonly enabled: boolean;
    /** `stdout`, `stderr` or a file's path. */
    readonly destination: string;
    readonly format: 'json' | 'combined';
    /** Share of requests logged, 0–1. */
    readonly sample: number;
  };
}

/** A parsed socket address. `text` is the canonical spelling and the identity used in slots and admin paths. */
export type Address =
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly text: string;
    }
  | { readonly kind: 'unix'; readonly path: string; readonly text: string };

export type ListenerProtocol = 'http/1.1' | 'h2' | 'h2c';

export interface ListenerConfig {
  readonly name: string;
  readonly address: Address;
  readonly protocols: readonly ListenerProtocol[];
  /** `auto` already resolved from `protocols`. */
  readonly engine: 'uws' | 'node';
  readonly limits: {
    readonly headerBytes: number;
    readonly headerCount: number;
    /** 0 = unlimited. */
    readonly bodyBytes: number;
    readonly idleTimeoutMs: number;
    readonly headerTimeoutMs: number;
    readonly requestTimeoutMs: number;
    /** Bytes a second; 0 = any. */
    readonly minBodyRate: number;
    /** Over all workers; 0 = unlimited. */
    readonly connections: number;
    /** Over all workers; 0 = unlimited. */
    readonly connectionsPerAddress: number;
    readonly webSocketMessageBytes: number;
    /** Of the uws engine only. */
    readonly webSocketBacklogBytes: number;
  };
  readonly trustedProxies: readonly Cidr[];
  readonly proxyProtocol: boolean;
  /** Empty: the listener speaks HTTP. */
  readonly passthrough: readonly {
    /** Lower-case names, `*.example.com` wildcards; empty = any. */
    readonly hosts: readonly string[];
    readonly upstream: string;
  }[];
  readonly tls: ListenerTlsConfig | null;
}

/** A CIDR block; `bytes` is 4 or 16 long with host bits cleared. */
export interface Cidr {
  readonly text: string;
  readonly bytes: readonly number[];
  readonly prefixBits: number;
}

export interface ListenerTlsConfig {
  readonly certificates: readonly { readonly cert: string; readonly key: string }[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Path of a CA bundle; '' = client certificates are not asked for. */
  readonly clientCa: string;
}

export interface RouteConfig {
  readonly name: string;
  readonly match: {
    /** Lower-case names, `*.example.com` wildcards; empty = any host. */
    readonly hosts: readonly string[];
    /** `/exact`, `/prefix/*` or `*`. */
    readonly path: string;
    /** Upper-case; empty = any method. */
    readonly methods: readonly string[];
    /** Lower-case header name → required value. */
    readonly headers: Readonly<Record<string, string>>;
  };
  /** One entry with weight 1 where the operator wrote `upstream`. Never empty. */
  readonly split: readonly { readonly upstream: string; readonly weight: number }[];
  readonly rewrite: {
    /** '' = nothing is stripped. */
    readonly stripPrefix: string;
    /** `preserve`, `upstream` or a literal host. */
    readonly host: string;
  };
  readonly headers: {
    readonly request: HeaderRewriteConfig;
    readonly response: HeaderRewriteConfig;
  };
  readonly rateLimits: readonly string[];
  readonly timeouts: { readonly requestMs: number };
  readonly mirror: MirrorConfig | null;
}

export interface MirrorConfig {
  readonly upstream: string;
  /** 0–100, fractions allowed. */
  readonly percent: number;
  /** Of a request with a longer body there is no copy. */
  readonly bodyBytes: number;
  /** Requests in flight at the mirror's upstream from which on no copy is made. */
  readonly maxRequests: number;
}

export interface HeaderRewriteConfig {
  readonly set: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly remove: readonly string[];
}

export interface RateLimitConfig {
  /** `clientAddress`, `header:NAME`, `cookie:NAME`, `query:NAME` or `route`. */
  readonly key: string;
  readonly algorithm: 'leaky-bucket' | 'token-bucket';
  /** Requests per 1000 seconds, so that `10/m` stays exact enough: integer ≥ 1. */
  readonly ratePer1000s: number;
  readonly burst: number;
  /** -1 = none (nodelay); 0 = all; N = excess requests served at once before delaying. */
  readonly delay: number;
  readonly status: number;
  readonly keys: number;
  readonly store: 'local' | 'redis';
  /** '' unless store is redis. */
  readonly redisUrl: string;
  /** Longest wait for the store's answer; then the local table judges. */
  readonly redisTimeoutMs: number;
}

export type PolicyName =
  | 'round-robin'
  | 'weighted-round-robin'
  | 'least-connections'
  | 'power-of-two'
  | 'random'
  | 'response-time'
  | 'peak-ewma'
  | 'consistent-hash'
  | 'maglev';

export interface EndpointConfig {
  readonly address: Address;
  /** Integer 1–1000. */
  readonly weight: number;
  /** 0 = unlimited. */
  readonly maxConnections: number;
  readonly backup: boolean;
  readonly zone: string;
}

export type RetryCondition =
  | 'connect-failure'
  | 'refused'
  | 'reset-before-response'
  | '502'
  | '503'
  | '504';

export interface UpstreamConfig {
  readonly name: string;
  readonly policy: PolicyName;
  readonly hash: {
    /** As RateLimitConfig.key, plus `path`. */
    readonly key: string;
    readonly function: 'crc32' | 'ketama';
    readonly replicas: number;
    /** 0 = off, else ≥ 1. */
    readonly balanceFactor: number;
    /** Entries of the maglev table, a prime number. */
    readonly tableSize: number;
  };
  readonly leastConnections: { readonly halfLifeMs: number };
  readonly peakEwma: { readonly decayMs: number };
  readonly responseTime: {
    readonly samples: number;
    readonly intervalMs: number;
    readonly changeThreshold: number;
    readonly weightRange: readonly [number, number];
  };
  readonly endpoints: readonly EndpointConfig[];
  /** Raw discovery options by provider; empty = only the static endpoints. */
  readonly discovery: Readonly<Record<string, unknown>>;
  readonly protocol: 'http/1.1' | 'h2' | 'h2c';
  readonly tls: UpstreamTlsConfig | null;
  readonly connection: {
    readonly engine: 'wire' | 'undici';
    readonly connectTimeoutMs: number;
    readonly idleTimeoutMs: number;
    readonly perWorker: number;
    /** 'auto' or a depth ≥ 1. */
    readonly pipelining: number | 'auto';
  };
  readonly timeouts: {
    readonly responseMs: number;
    readonly idleMs: number;
    /** 0 = unlimited. */
    readonly webSocketIdleMs: number;
  };
  readonly retry: {
    /** After the first. */
    readonly attempts: number;
    readonly on: readonly RetryCondition[];
    readonly methods: readonly string[];
    readonly budget: { readonly percent: number; readonly minimum: number };
    readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  };
  readonly healthCheck: HealthCheckConfig;
  readonly outlier: OutlierConfig;
  readonly circuitBreaker: {
    readonly maxConnections: number;
    readonly maxPending: number;
    readonly maxRequests: number;
    /** Longest wait for an endpoint when all are at their cap. */
    readonly pendingTimeoutMs: number;
    readonly maxRetries: number;
    /** Share of failed requests that opens the circuit; 0 = never. */
    readonly failureThreshold: number;
    /** Time over which failures are counted. */
    readonly windowMs: number;
    /** Requests in the window below which the circuit stays closed. */
    readonly minimumRequests: number;
    /** How long an open circuit refuses before it lets trials through. */
    readonly openMs: number;
    /** Requests let through before the circuit closes. */
    readonly trialRequests: number;
  };
  readonly adaptiveConcurrency: {
    readonly enabled: boolean;
    readonly initial: number;
    readonly minimum: number;
    readonly maximum: number;
    /** Response times up to this many times the usual ones are no sign of overload. */
    readonly tolerance: number;
    readonly intervalMs: number;
  };
  readonly hedge: {
    readonly enabled: boolean;
    /** A request that takes longer than this share of the others may be sent a second time. */
    readonly quantile: number;
    readonly minimumDelayMs: number;
  };
  readonly panicThreshold: number;
  readonly slowStart: {
    readonly windowMs: number;
    readonly aggression: number;
    readonly minimum: number;
  };
  /** Share of the picks that are kept with their reasons, 0–1. */
  readonly explain: { readonly sample: number };
  readonly sticky: { readonly cookie: string; readonly ttlMs: number } | null;
}

export interface UpstreamTlsConfig {
  /** '' = the endpoint's host. */
  readonly serverName: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly verify: boolean;
}

export interface HealthCheckConfig {
  readonly type: 'http' | 'tcp' | 'grpc' | 'none';
  readonly path: string;
  /** For grpc; '' = the whole server. At most 127 ASCII characters. */
  readonly service: string;
  /** Inclusive status ranges. */
  readonly expect: readonly { readonly from: number; readonly to: number }[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  readonly initial: 'unknown' | 'down';
}

export interface OutlierConfig {
  /** 0 switches a detector off. */
  readonly consecutive5xx: number;
  readonly consecutiveConnectFailures: number;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionPercent: number;
  readonly successRate: {
    readonly minimumHosts: number;
    readonly requestVolume: number;
    readonly stdevFactor: number;
  };
  readonly latency: { readonly factor: number };
}
