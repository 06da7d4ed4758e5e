// From the schema's output to the Config the product uses: units into the names, `auto` resolved,
// shorthand written out, paths made absolute, everything frozen. Called by load.ts with a valid tree.
import { resolve } from 'node:path';
import { availableCpus } from './available-cpus.ts';
import type {
  Config,
  HeaderRewriteConfig,
  ListenerConfig,
  RateLimitConfig,
  RouteConfig,
  UpstreamConfig,
} from './config.ts';
import { needsNodeEngine } from './schema-listener.ts';
import { WORKERS_MAX, type ParsedConfig } from './schema.ts';

type ParsedListener = ParsedConfig['listeners'][number];
type ParsedRoute = NonNullable<ParsedConfig['routes']>[number];
type ParsedRateLimit = ParsedConfig['rateLimits'][string];
type ParsedUpstream = ParsedConfig['upstreams'][string];

/** Builds the frozen Config. @param folder what relative file paths are relative to. */
export function buildConfig(parsed: ParsedConfig, folder: string): Config {
  const { level, access } = parsed.log;
  return deepFreeze<Config>({
    version: parsed.version,
    workers: parsed.workers === 'auto' ? Math.min(availableCpus(), WORKERS_MAX) : parsed.workers,
    admin: parsed.admin,
    log: { level, access: { ...access, destination: logFile(access.destination, folder) } },
    shutdown: { drainTimeoutMs: parsed.shutdown.drainTimeout },
    capacity: parsed.capacity,
    zone: parsed.zone,
    listeners: parsed.listeners.map((listener, index) => buildListener(listener, index, folder)),
    routes: (parsed.routes ?? []).map(buildRoute),
    rateLimits: mapValues(parsed.rateLimits, buildRateLimit),
    upstreams: mapValues(parsed.upstreams, (upstream, name) =>
      buildUpstream(upstream, name, folder),
    ),
  });
}

function buildListener(parsed: ParsedListener, index: number, folder: string): ListenerConfig {
  const { limits, tls } = parsed;
  return {
    name: parsed.name ?? `listener-${index + 1}`,
    address: parsed.address,
    protocols: parsed.protocols,
    engine: parsed.engine === 'node' || needsNodeEngine(parsed) ? 'node' : 'uws',
    limits: {
      headerBytes: limits.headerBytes,
      headerCount: limits.headerCount,
      bodyBytes: limits.bodyBytes,
      idleTimeoutMs: limits.idleTimeout,
      headerTimeoutMs: limits.headerTimeout,
      requestTimeoutMs: limits.requestTimeout,
      minBodyRate: limits.minBodyRate,
      connections: limits.connections,
      connectionsPerAddress: limits.connectionsPerAddress,
      webSocketMessageBytes: limits.webSocketMessageBytes,
      webSocketBacklogBytes: limits.webSocketBacklogBytes,
    },
    trustedProxies: parsed.trustedProxies,
    proxyProtocol: parsed.proxyProtocol,
    passthrough: parsed.passthrough,
    tls:
      tls === undefined
        ? null
        : {
            certificates: tls.certificates.map(({ cert, key }) => ({
              cert: absolute(cert, folder),
              key: absolute(key, folder),
            })),
            minVersion: tls.minVersion,
            clientCa: absolute(tls.clientCa, folder),
          },
  };
}

function buildRoute(parsed: ParsedRoute, index: number): RouteConfig {
  const { match, headers } = parsed;
  return {
    name: parsed.name ?? `route-${index + 1}`,
    match: {
      hosts: match.hosts,
      path: match.path,
      methods: match.methods,
      headers: lowerCaseKeys(match.headers),
    },
    split: parsed.split ?? [{ upstream: parsed.upstream ?? '', weight: 1 }],
    rewrite: parsed.rewrite,
    headers: {
      request: buildHeaderRewrite(headers.request),
      response: buildHeaderRewrite(headers.response),
    },
    rateLimits: parsed.rateLimits,
    timeouts: { requestMs: parsed.timeouts.request },
    mirror: parsed.mirror ?? null,
  };
}

function buildHeaderRewrite(parsed: ParsedRoute['headers']['request']): HeaderRewriteConfig {
  return { set: lowerCaseKeys(parsed.set), remove: parsed.remove };
}

function buildRateLimit(parsed: ParsedRateLimit): RateLimitConfig {
  return {
    key: parsed.key,
    algorithm: parsed.algorithm,
    ratePer1000s: parsed.rate,
    burst: parsed.burst,
    delay: delayCount(parsed.delay),
    status: parsed.status,
    keys: parsed.keys,
    store: parsed.store,
    redisUrl: parsed.store === 'redis' ? (parsed.redis?.url ?? '') : '',
    redisTimeoutMs: parsed.redis?.timeout ?? 0,
  };
}

// The words are numbers from here on: see RateLimitConfig.delay.
function delayCount(delay: ParsedRateLimit['delay']): number {
  if (delay === 'none') return -1;
  return delay === 'all' ? 0 : delay;
}

function buildUpstream(parsed: ParsedUpstream, name: string, folder: string): UpstreamConfig {
  const { responseTime, connection, retry, healthCheck, outlier, slowStart, sticky, tls } = parsed;
  return {
    name,
    policy: parsed.policy,
    hash: parsed.hash,
    leastConnections: { halfLifeMs: parsed.leastConnections.halfLife },
    peakEwma: { decayMs: parsed.peakEwma.decay },
    responseTime: {
      samples: responseTime.samples,
      intervalMs: responseTime.interval,
      changeThreshold: responseTime.changeThreshold,
      weightRange: responseTime.weightRange,
    },
    endpoints: parsed.endpoints,
    discovery: parsed.discovery,
    protocol: parsed.protocol,
    tls:
      tls === undefined
        ? null
        : {
            serverName: tls.serverName,
            ca: absolute(tls.ca, folder),
            cert: absolute(tls.cert, folder),
            key: absolute(tls.key, folder),
            verify: tls.verify,
          },
    connection: {
      engine: connection.engine,
      connectTimeoutMs: connection.connectTimeout,
      idleTimeoutMs: connection.idleTimeout,
      perWorker: connection.perWorker,
      pipelining: connection.pipelining,
    },
    timeouts: {
      responseMs: parsed.timeouts.response,
      idleMs: parsed.timeouts.idle,
      webSocketIdleMs: parsed.timeouts.webSocketIdle,
    },
    retry: {
      attempts: retry.attempts,
      on: retry.on,
      methods: retry.methods,
      budget: retry.budget,
      backoff: { baseMs: retry.backoff.base, maxMs: retry.backoff.max },
    },
    healthCheck: {
      type: healthCheck.type,
      path: healthCheck.path,
      service: healthCheck.service,
      expect: healthCheck.expect,
      intervalMs: healthCheck.interval,
      timeoutMs: healthCheck.timeout,
      rise: healthCheck.rise,
      fall: healthCheck.fall,
      initial: healthCheck.initial,
    },
    outlier: {
      consecutive5xx: outlier.consecutive5xx,
      consecutiveConnectFailures: outlier.consecutiveConnectFailures,
      intervalMs: outlier.interval,
      baseEjectionMs: outlier.baseEjection,
      maxEjectionMs: outlier.maxEjection,
      maxEjectionPercent: outlier.maxEjectionPercent,
      successRate: outlier.successRate,
      latency: outlier.latency,
    },
    circuitBreaker: buildCircuitBreaker(parsed.circuitBreaker),
    adaptiveConcurrency: {
      enabled: parsed.adaptiveConcurrency.enabled,
      initial: parsed.adaptiveConcurrency.initial,
      minimum: parsed.adaptiveConcurrency.minimum,
      maximum: parsed.adaptiveConcurrency.maximum,
      tolerance: parsed.adaptiveConcurrency.tolerance,
      intervalMs: parsed.adaptiveConcurrency.interval,
    },
    hedge: {
      enabled: parsed.hedge.enabled,
      quantile: parsed.hedge.quantile,
      minimumDelayMs: parsed.hedge.minimumDelay,
    },
    panicThreshold: parsed.panicThreshold,
    slowStart: {
      windowMs: slowStart.window,
      aggression: slowStart.aggression,
      minimum: slowStart.minimum,
    },
    explain: { sample: parsed.explain.sample },
    sticky: sticky.cookie === undefined ? null : { cookie: sticky.cookie, ttlMs: sticky.ttl },
  };
}

function buildCircuitBreaker(
  parsed: ParsedUpstream['circuitBreaker'],
): UpstreamConfig['circuitBreaker'] {
  return {
    maxConnections: parsed.maxConnections,
    maxPending: parsed.maxPending,
    pendingTimeoutMs: parsed.pendingTimeout,
    maxRequests: parsed.maxRequests,
    maxRetries: parsed.maxRetries,
    failureThreshold: parsed.failureThreshold,
    windowMs: parsed.window,
    minimumRequests: parsed.minimumRequests,
    openMs: parsed.openTime,
    trialRequests: parsed.trialRequests,
  };
}

// '' means that no file is named.
function absolute(path: string, folder: string): string {
  return path === '' ? '' : resolve(folder, path);
}

function logFile(destination: string, folder: string): string {
  const isStream = destination === 'stdout' || destination === 'stderr';
  return isStream ? destination : resolve(folder, destination);
}

function lowerCaseKeys(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key.toLowerCase(), value]));
}

function mapValues<V, W>(
  map: Readonly<Record<string, V>>,
  build: (value: V, key: string) => W,
): Record<string, W> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, build(value, key)]));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
