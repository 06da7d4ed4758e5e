// The contract's outlier section with its defaults, for tests that change a few of them.
import type { OutlierConfig } from '../../src/config/config.ts';

export function outlierConfig(changes: Partial<OutlierConfig> = {}): OutlierConfig {
  return {
    consecutive5xx: 5,
    consecutiveConnectFailures: 3,
    intervalMs: 10_000,
    baseEjectionMs: 30_000,
    maxEjectionMs: 300_000,
    maxEjectionPercent: 50,
    successRate: { minimumHosts: 5, requestVolume: 100, stdevFactor: 1.9 },
    latency: { factor: 0 },
    ...changes,
  };
}
