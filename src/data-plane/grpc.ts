// What the proxy has to know of gRPC over HTTP/2: whose request is one, how long its caller waits, and how its caller is
// told of an error. Source: grpc/doc/PROTOCOL-HTTP2.md. On worker threads.
import { EXCHANGE_ERRORS, type ExchangeErrorCode } from '../errors.ts';

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
