// The leaky bucket in nginx's integers, so that a request passes here exactly when it would pass there. Pure.
// Source: nginx, ngx_http_limit_req_module.c. Levels count 1/1000 requests, times are ms, rates are requests per
// 1000 s, which is nginx's unit, too.

/** A request's share of a level. */
export const LEAKY_REQUEST = 1000;

/** A clock that went back by more than this was set; nginx's bound, ms. */
const CLOCK_STEP_MS = 60_000;

/** Time since the last counted request as nginx sees it: never negative; a clock that was set counts as 1 ms. */
export function leakyElapsedMs(time: number, nowMs: number): number {
  const elapsed = nowMs - time;
  if (elapsed >= 0) return elapsed;
  return elapsed < -CLOCK_STEP_MS ? 1 : 0;
}

/**
 * How far above the rate this request is: what has leaked since is taken off, the request is put on.
 * A key that was never seen has 0.
 * @param rate requests per 1000 s. @returns thousandths of a request, ≥ 0.
 */
export function leakyExcess(level: number, elapsedMs: number, rate: number): number {
  const excess = level - Math.floor((rate * elapsedMs) / 1000) + LEAKY_REQUEST;
  return excess < 0 ? 0 : excess;
}

/** The time to remember: only a request that comes later than the last one moves it. */
export function leakyTime(time: number, elapsedMs: number, nowMs: number): number {
  return elapsedMs > 0 ? nowMs : time;
}
