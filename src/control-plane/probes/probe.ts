// What a probe is given and what it says. A probe is one question to one endpoint on a connection of its own; it
// ends within its timeout, never throws, and leaves nothing open. Primary thread.
import type {
  Address,
  HealthCheckConfig,
  UpstreamConfig,
  UpstreamTlsConfig,
} from '../../config/config.ts';

/** How an endpoint is probed; `none` is not probed and is no target. */
export type ProbeConfig = HealthCheckConfig & {
  readonly type: Exclude<HealthCheckConfig['type'], 'none'>;
};

/** One endpoint to be probed and how. Slot and generation are its identity: they last over reloads. */
export interface ProbeTarget {
  readonly slot: number;
  readonly generation: number;
  readonly upstream: string;
  readonly address: Address;
  readonly protocol: UpstreamConfig['protocol'];
  readonly tls: UpstreamTlsConfig | null;
  readonly healthCheck: ProbeConfig;
}

export interface ProbeResult {
  readonly hasPassed: boolean;
  /** For an operator: `status 503, expected 200-399`, `connection refused`. */
  readonly reason: string;
}

/** Asks once. The promise never rejects. */
export type Probe = (target: ProbeTarget) => Promise<ProbeResult>;

/** Bytes of an answer that are read; a health answer has no reason to be longer. */
export const PROBE_BODY_BYTES_MAX = 65_536;

export function passed(reason: string): ProbeResult {
  return { hasPassed: true, reason };
}

export function failed(reason: string): ProbeResult {
  return { hasPassed: false, reason };
}

export function timedOut(target: ProbeTarget): ProbeResult {
  return failed(`no answer within ${target.healthCheck.timeoutMs} ms`);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name could not be resolved',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
  ENOENT: 'no such socket or file',
};

/** A socket's, TLS's or parser's error in an operator's words. */
export function failedBy(error: unknown): ProbeResult {
  if (!(error instanceof Error)) return failed(String(error));
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return failed(REASONS[code] ?? (code === '' ? error.message : `${error.message} (${code})`));
}

/** True when the status is in one of the expected ranges. */
export function isExpected(config: HealthCheckConfig, status: number): boolean {
  return config.expect.some(({ from, to }) => status >= from && status <= to);
}

/** The verdict on an answer's status. */
export function judgeStatus(config: HealthCheckConfig, status: number): ProbeResult {
  if (isExpected(config, status)) return passed(`status ${status}`);
  const ranges = config.expect.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
  return failed(`status ${status}, expected ${ranges.join(', ')}`);
}

/** What a Host header or :authority says: the name the certificate is for, or the endpoint's address. */
export function hostOf(target: ProbeTarget): string {
  if (target.tls !== null && target.tls.serverName !== '') return target.tls.serverName;
  return target.address.kind === 'tcp' ? target.address.text : 'localhost';
}
