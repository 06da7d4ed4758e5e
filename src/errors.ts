// What can go wrong in an exchange, and the answer the proxy gives for it. Expected events on the
// request path are these codes, as values; nothing throws there, so no stack is built per request.

export type ErrorSource = 'downstream' | 'upstream' | 'internal';

interface ErrorEntry {
  /** Status of the proxy's own answer; 0 = the client is gone and nothing is answered. */
  readonly status: number;
  readonly source: ErrorSource;
  /** Value of the `x-millrace-error` header. */
  readonly header: string;
  readonly message: string;
}

/** Every error of an exchange: its answer, who is at fault. One table, so an error has one status everywhere. */
export const EXCHANGE_ERRORS = {
  'bad-request': {
    status: 400,
    source: 'downstream',
    header: 'bad-request',
    message: 'the request could be read in more than one way',
  },
  'upgrade-required': {
    status: 426,
    source: 'downstream',
    header: 'bad-request',
    message: 'this version of WebSocket is not spoken',
  },
  'not-implemented': {
    status: 501,
    source: 'downstream',
    header: 'bad-request',
    message: 'this transfer coding is not understood',
  },
  'no-route': {
    status: 404,
    source: 'downstream',
    header: 'no-route',
    message: 'no route matches this request',
  },
  'body-limit': {
    status: 413,
    source: 'downstream',
    header: 'body-limit',
    message: 'the request body is over the limit',
  },
  'header-limit': {
    status: 431,
    source: 'downstream',
    header: 'header-limit',
    message: 'the request headers are over the limit',
  },
  'request-timeout': {
    status: 408,
    source: 'downstream',
    header: 'request-timeout',
    message: 'the request did not arrive in time',
  },
  'too-early': {
    status: 425,
    source: 'downstream',
    header: 'too-early',
    message: 'the request may be a replay of early data; send it again',
  },
  'client-abort': {
    status: 0,
    source: 'downstream',
    header: 'client-abort',
    message: 'the client went away',
  },
  'rate-limit': {
    status: 429,
    source: 'downstream',
    header: 'rate-limit',
    message: 'too many requests',
  },
  'connect-failure': {
    status: 502,
    source: 'upstream',
    header: 'connect-failure',
    message: 'the upstream could not be reached',
  },
  refused: {
    status: 502,
    source: 'upstream',
    header: 'connect-failure',
    message: 'the upstream refused the connection',
  },
  reset: {
    status: 502,
    source: 'upstream',
    header: 'reset',
    message: 'the upstream closed the connection before it answered',
  },
  'bad-response': {
    status: 502,
    source: 'upstream',
    header: 'bad-response',
    message: 'the upstream answered with what is not HTTP',
  },
  'no-endpoint': {
    status: 503,
    source: 'upstream',
    header: 'no-endpoint',
    message: 'no endpoint can take the request',
  },
  'circuit-open': {
    status: 503,
    source: 'upstream',
    header: 'circuit-open',
    message: 'the circuit breaker is open',
  },
  'concurrency-limit': {
    status: 503,
    source: 'internal',
    header: 'circuit-open',
    message: 'too many requests are in flight',
  },
  'pending-overflow': {
    status: 503,
    source: 'upstream',
    header: 'circuit-open',
    message: 'too many requests wait for an endpoint',
  },
  'connection-limit': {
    status: 503,
    source: 'internal',
    header: 'circuit-open',
    message: 'too many connections to the upstream',
  },
  'pending-timeout': {
    status: 503,
    source: 'upstream',
    header: 'no-endpoint',
    message: 'no endpoint had room in time',
  },
  draining: {
    status: 503,
    source: 'internal',
    header: 'draining',
    message: 'the proxy is shutting down',
  },
  'connect-timeout': {
    status: 504,
    source: 'upstream',
    header: 'connect-timeout',
    message: 'the upstream did not accept the connection in time',
  },
  'response-timeout': {
    status: 504,
    source: 'upstream',
    header: 'response-timeout',
    message: 'the upstream did not answer in time',
  },
  'idle-timeout': {
    status: 504,
    source: 'upstream',
    header: 'idle-timeout',
    message: 'the upstream stopped sending',
  },
  internal: {
    status: 500,
    source: 'internal',
    header: 'internal',
    message: 'the proxy failed',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ExchangeErrorCode = keyof typeof EXCHANGE_ERRORS;

const ERROR_CODES = Object.keys(EXCHANGE_ERRORS);

/** Place of a code in EXCHANGE_ERRORS: the number of its counter. */
export function errorIndexOf(code: ExchangeErrorCode): number {
  return ERROR_CODES.indexOf(code);
}

/** One thing wrong with what the operator gave: where, what was expected, what was found. */
export interface Problem {
  /** Dotted path of the key, e.g. `upstreams.api.endpoints[0].weight`; '' = the whole input. */
  readonly path: string;
  /** 1-based; 0 = no line is known. */
  readonly line: number;
  readonly expected: string;
  readonly found: string;
}

/** The operator's input is at fault: exit code 1. Carries every problem found, never only the first. */
export class InputError extends Error {
  readonly problems: readonly Problem[];
  /** The file or option the problems are in. */
  readonly origin: string;

  constructor(origin: string, problems: readonly Problem[]) {
    super(formatProblems(origin, problems));
    this.name = 'InputError';
    this.origin = origin;
    this.problems = problems;
  }
}

/** One line a problem: `FILE:LINE: PATH: expected …, found …`. */
export function formatProblems(origin: string, problems: readonly Problem[]): string {
  const lines: string[] = [];
  for (const problem of problems) {
    const line = problem.line > 0 ? `:${problem.line}` : '';
    const path = problem.path === '' ? '' : ` ${problem.path}:`;
    lines.push(`${origin}${line}:${path} expected ${problem.expected}, found ${problem.found}`);
  }
  return lines.join('\n');
}
