// What a refused client is told, in headers. Pure; off the fast path.
// Source: RFC 9110 §10.2.3 (Retry-After); draft-ietf-httpapi-ratelimit-headers-10 (RateLimit, RateLimit-Policy).
import type { RateLimit } from './rate-limit.ts';

/** Seconds after which the next request would pass, at least 1. */
export function retryAfterSeconds(limit: RateLimit): number {
  return Math.max(1, Math.ceil(limit.retryMs / 1000));
}

/** `RateLimit-Policy` (quota and the seconds in which it comes back) and `RateLimit` (what is left, and for how long). */
export function limitHeaders(limit: RateLimit): readonly (readonly [string, string])[] {
  const windowSeconds = Math.max(1, Math.ceil((limit.quota * 1000) / limit.config.ratePer1000s));
  return [
    ['RateLimit-Policy', `"${limit.name}";q=${limit.quota};w=${windowSeconds}`],
    ['RateLimit', `"${limit.name}";r=${limit.remaining};t=${retryAfterSeconds(limit)}`],
  ];
}
