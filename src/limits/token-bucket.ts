// The token bucket, kept as what is missing from a full one: one number and a time (the generic cell rate algorithm
// in another dress), so that a key costs one compare-and-swap. Pure. Levels count 1e-9 requests, times are µs,
// rates are requests per 1000 s: elapsed × rate is then a level, in whole numbers and without rounding.
// Source: ITU-T I.371, GCRA.

/** A token. */
export const TOKEN_REQUEST = 1e9;

/** Tokens missing after this request. @param elapsedUs ≥ 0. @returns 1e-9 tokens, ≥ one token. */
export function tokensMissing(level: number, elapsedUs: number, rate: number): number {
  const missing = level - elapsedUs * rate;
  return (missing < 0 ? 0 : missing) + TOKEN_REQUEST;
}
