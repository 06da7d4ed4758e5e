// What the proxy has to know of gRPC over HTTP/2: whose request is one, how long its caller waits, how its caller is
// told of an error, and what the status of a call says about its endpoint. Source: grpc/doc/PROTOCOL-HTTP2.md. On worker threads.
import { EXCHANGE_ERRORS, type ExchangeErrorCode } from '../errors.ts';
import { blockPairs } from './upstream/trailers.ts';

/** gRPC codes by the HTTP status an error has. Source: grpc/doc/http-grpc-status-mapping.md, statuscodes.md. */
const GRPC_STATUSES: Readonly<Record<number, number>> = {
  400: 13, // INTERNAL
  404: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  429: 8,
  431: 8,
  500: 13,
  501: 12,
  504: 4,
};
const GRPC_UNAVAILABLE = 14;
const GRPC_DEADLINE_EXCEEDED = 4;
/** The last of gRPC's codes, UNAUTHENTICATED. */
const GRPC_CODE_MAX = 16;

/**
 * The codes that speak against an endpoint, with the HTTP status of the same meaning. Source: google/rpc/code.proto, which
 * Envoy's outlier detection goes by. Not UNIMPLEMENTED, which is 501 there: any client can ask for what does not exist.
 */
const FAILED_STATUSES: Readonly<Record<number, number>> = {
  2: 500, // UNKNOWN
  [GRPC_DEADLINE_EXCEEDED]: 504,
  13: 500, // INTERNAL
  [GRPC_UNAVAILABLE]: 503,
  15: 500, // DATA_LOSS
};

/** Milliseconds in the units of grpc-timeout. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
/** The longest that a timer can be set to. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** Whether a content type is gRPC's own: `application/grpc`, perhaps with a message format behind `+`. */
export function isGrpcType(contentType: string): boolean {
  return /^application\/grpc(?:$|[+; ])/i.test(contentType);
}

/**
 * How long the caller waits, by its grpc-timeout.
 * @returns whole milliseconds, 1 at least; 0 = it does not say, or not as gRPC does.
 */
export function grpcTimeoutMs(value: string): number {
  const found = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (found === null) return 0;
  const ms = Math.ceil(Number(found[1]) * UNIT_MS[found[2]!]!);
  return Math.min(Math.max(ms, 1), TIMEOUT_MS_MAX);
}

/** @param block a response's headers, as UpstreamHead has them. */
export function isGrpcAnswer(block: string): boolean {
  // Most answers are not: they cost one look.
  return block.includes('application/grpc') && isGrpcType(valueOf(block, 'content-type') ?? '');
}

/**
 * The HTTP status that an endpoint is judged by, for the gRPC status of its answer.
 * @param block headers or trailers.
 * @param hasDeadline the caller set one: that it was too short does not speak against the endpoint.
 * @returns null: the block holds no gRPC status.
 */
export function judgedStatus(block: string, hasDeadline: boolean): number | null {
  const value = valueOf(block, 'grpc-status');
  if (value === null) return null;
  const code = /^\d{1,3}$/.test(value) ? Number(value) : Infinity;
  // Clients read it as UNKNOWN.
  if (code > GRPC_CODE_MAX) return 500;
  if (code === GRPC_DEADLINE_EXCEEDED && hasDeadline) return 200;
  return FAILED_STATUSES[code] ?? 200;
}

/** @param name in lower case. @returns the first value; null for none. */
function valueOf(block: string, name: string): string | null {
  const pairs = blockPairs(block);
  for (let index = 0; index < pairs.length; index += 2) {
    if (pairs[index]!.toLowerCase() === name) return pairs[index + 1]!;
  }
  return null;
}

/** The fields by which a gRPC client is told of an error, in trailers or in a head without a body. */
export function grpcFields(code: ExchangeErrorCode): Record<string, string> {
  return {
    'grpc-status': String(grpcStatusOf(code)),
    'grpc-message': `millrace: ${EXCHANGE_ERRORS[code].message}`,
  };
}

/** The gRPC status that says the same as an error's HTTP status. */
function grpcStatusOf(code: ExchangeErrorCode): number {
  // Nothing was asked of the endpoint yet: a client may try again, which DEADLINE_EXCEEDED would not tell it.
  if (code === 'connect-timeout') return GRPC_UNAVAILABLE;
  return GRPC_STATUSES[EXCHANGE_ERRORS[code].status] ?? GRPC_UNAVAILABLE;
}
