// What a reload may not change, because it was fixed when the process started. A reload that wants to is
// refused as a whole, and says which keys need a restart. Pure; called by the balancer.
import type { Config, ListenerConfig } from '../config/config.ts';
import type { Problem } from '../errors.ts';

/** @param running as configured at the start, ports not resolved. */
export function findFixedChanges(running: Config, next: Config): Problem[] {
  const problems: Problem[] = [];
  const fixed = (path: string, before: unknown, after: unknown): void => {
    if (JSON.stringify(before) === JSON.stringify(after)) return;
    problems.push({
      path,
      line: 0,
      expected: `${describe(before)} as long as the process runs; changing it needs a restart`,
      found: describe(after),
    });
  };
  fixed('workers', running.workers, next.workers);
  fixed('capacity.endpoints', running.capacity.endpoints, next.capacity.endpoints);
  fixed('capacity.upstreams', running.capacity.upstreams, next.capacity.upstreams);
  fixed('admin.address', running.admin.address.text, next.admin.address.text);
  fixed('listeners', namesOf(running.listeners), namesOf(next.listeners));
  for (const [index, listener] of next.listeners.entries()) {
    const before = running.listeners.find((candidate) => candidate.name === listener.name);
    if (before === undefined) continue;
    const path = `listeners[${index}]`;
    fixed(`${path}.address`, before.address.text, listener.address.text);
    fixed(`${path}.protocols`, before.protocols, listener.protocols);
    fixed(`${path}.engine`, before.engine, listener.engine);
    fixed(`${path}.proxyProtocol`, before.proxyProtocol, listener.proxyProtocol);
    fixed(`${path}.passthrough`, before.passthrough, listener.passthrough);
    fixed(`${path}.limits`, before.limits, listener.limits);
    fixed(`${path}.trustedProxies`, before.trustedProxies, listener.trustedProxies);
    fixed(`${path}.tls`, before.tls, listener.tls);
  }
  return problems;
}

function namesOf(listeners: readonly ListenerConfig[]): string[] {
  return listeners.map((listener) => listener.name);
}

function describe(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
