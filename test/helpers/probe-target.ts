// A probe target for a test's own server.
import { parseAddress } from '../../src/config/address.ts';
import type { ProbeConfig, ProbeTarget } from '../../src/control-plane/probes/probe.ts';

/** @param address as an operator writes it. */
export function probeTarget(
  address: string,
  check: Partial<ProbeConfig> = {},
  changes: Partial<ProbeTarget> = {},
): ProbeTarget {
  const parsed = parseAddress(address, 1);
  if (parsed === undefined) throw new Error(`no address: ${address}`);
  return {
    slot: 0,
    generation: 1,
    upstream: 'api',
    address: parsed,
    protocol: 'http/1.1',
    tls: null,
    healthCheck: {
      type: 'http',
      path: '/health',
      service: '',
      expect: [{ from: 200, to: 399 }],
      intervalMs: 100,
      timeoutMs: 1000,
      rise: 2,
      fall: 3,
      initial: 'unknown',
      ...check,
    },
    ...changes,
  };
}
