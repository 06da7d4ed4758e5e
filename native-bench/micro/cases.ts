// What the micro-benchmark measures: the operations that every proxied request pays for, by name.
import type { PolicyName, RateLimitConfig } from '../../src/config/config.ts';
import { POLICY_NAMES } from '../../src/policies/index.ts';

/** An operation and the threads that do it at the same time on the same shared memory. */
export interface MicroCase {
  readonly operation: 'pick' | 'head' | 'record' | 'limit';
  /** Of `pick`. */
  readonly policy: PolicyName;
  readonly endpoints: number;
  /**
   * Of `pick`: as a request does it, with the question whether picks are explained, and the share that is;
   * null = the policy alone.
   */
  readonly explain: number | null;
  /** Of `pick`: for a request that may be sent only once, endpoints that owe an answer. */
  readonly isSentOnce: boolean;
  /** Of `head`: which of HEADS. */
  readonly head: keyof typeof HEADS;
  /** Of `limit`. */
  readonly algorithm: RateLimitConfig['algorithm'];
  readonly threads: number;
}

const HEADERS_OF_A_PAGE = Array.from(
  { length: 15 },
  (_, index) => `x-response-${index}: value-of-response-header-${index}\r\n`,
).join('');

/** Response heads as servers send them. */
export const HEADS = {
  small:
    'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n' +
    'Content-Type: application/json\r\nContent-Length: 512\r\nConnection: keep-alive\r\n\r\n',
  large:
    'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n' +
    'Content-Type: text/html; charset=utf-8\r\nContent-Length: 4096\r\nConnection: keep-alive\r\n' +
    `${HEADERS_OF_A_PAGE}\r\n`,
} as const;

const ENDPOINT_COUNTS = [3, 16, 64, 1000] as const;
const EXPLAINED_POLICIES = ['round-robin', 'least-connections'] as const;
const SENT_ONCE_POLICIES = ['round-robin', 'least-connections', 'power-of-two'] as const;
const EXPLAIN_SHARES = [0, 0.01] as const;
const THREAD_COUNTS = [1, 2] as const;

/** The name of what a case does, without endpoints and threads. */
export function nameOf(one: MicroCase): string {
  if (one.operation === 'pick') {
    const suffix = one.explain === null ? '' : `, explain ${one.explain}`;
    return `pick and release: ${one.policy}${suffix}${one.isSentOnce ? ', sent once' : ''}`;
  }
  if (one.operation === 'head') {
    return `response head scan: ${one.head}, ${HEADS[one.head].length} bytes`;
  }
  if (one.operation === 'limit') return `rate limit check: ${one.algorithm}`;
  return 'histogram record';
}

/** All cases, in the order of the report. */
export function allCases(): MicroCase[] {
  const cases: MicroCase[] = [];
  const base = {
    policy: 'round-robin',
    endpoints: 3,
    explain: null,
    isSentOnce: false,
    head: 'small',
    algorithm: 'leaky-bucket',
    threads: 1,
  } as const;
  for (const policy of POLICY_NAMES) {
    for (const endpoints of ENDPOINT_COUNTS) {
      for (const threads of THREAD_COUNTS) {
        cases.push({ ...base, operation: 'pick', policy, endpoints, threads });
      }
    }
  }
  for (const policy of SENT_ONCE_POLICIES) {
    for (const endpoints of ENDPOINT_COUNTS) {
      cases.push({ ...base, operation: 'pick', policy, endpoints, isSentOnce: true });
    }
  }
  for (const policy of EXPLAINED_POLICIES) {
    for (const explain of EXPLAIN_SHARES) {
      cases.push({ ...base, operation: 'pick', policy, explain });
    }
  }
  cases.push({ ...base, operation: 'head' });
  cases.push({ ...base, operation: 'head', head: 'large' });
  for (const threads of THREAD_COUNTS) cases.push({ ...base, operation: 'record', threads });
  for (const algorithm of ['leaky-bucket', 'token-bucket'] as const) {
    for (const threads of THREAD_COUNTS) {
      cases.push({ ...base, operation: 'limit', algorithm, threads });
    }
  }
  return cases;
}
