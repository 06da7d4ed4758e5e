// Does memory grow with the requests served? A straight line through the checkpoints, and how sure it is of its slope.

/** Memory when so many requests had been served. */
export interface Checkpoint {
  readonly requests: number;
  /** Median of the samples since the last checkpoint, all taken under load. */
  readonly residentBytes: number;
  readonly seconds: number;
}

/** The line of least squares. */
export interface Growth {
  /** Bytes per request; negative when it shrank. */
  readonly bytesPerRequest: number;
  /** Standard error of it. */
  readonly error: number;
  /** Checkpoints it is drawn through. */
  readonly checkpoints: number;
}

/** Fits the checkpoints from `afterRequests` on. @returns null when fewer than three are left. */
export function fitGrowth(
  checkpoints: readonly Checkpoint[],
  afterRequests: number,
): Growth | null {
  const used = checkpoints.filter(({ requests }) => requests >= afterRequests);
  if (used.length < 3) return null;
  const meanX = used.reduce((sum, one) => sum + one.requests, 0) / used.length;
  const meanY = used.reduce((sum, one) => sum + one.residentBytes, 0) / used.length;
  let squares = 0;
  let products = 0;
  for (const { requests, residentBytes } of used) {
    squares += (requests - meanX) ** 2;
    products += (requests - meanX) * (residentBytes - meanY);
  }
  const bytesPerRequest = products / squares;
  let residuals = 0;
  for (const { requests, residentBytes } of used) {
    residuals += (residentBytes - meanY - bytesPerRequest * (requests - meanX)) ** 2;
  }
  const error = Math.sqrt(residuals / (used.length - 2) / squares);
  return { bytesPerRequest, error, checkpoints: used.length };
}
