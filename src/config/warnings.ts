// What a valid configuration says and this version does not do, or does to nobody: no reason to refuse it, but its
// writer should know. `check` prints them, `run` and a reload log them. Pure; called by check-files.ts.
import type { Config, UpstreamConfig } from './config.ts';
import { formatPath, type LineOf, type TreePath } from './tree.ts';

/** Something an operator should know of a configuration that is in force. */
export interface ConfigWarning {
  readonly path: string;
  /** 1-based; 0 = not known. */
  readonly line: number;
  readonly message: string;
}

type Report = (path: TreePath, message: string) => void;

/** Every warning, in the order of the file where lines are known. */
export function findWarnings(config: Config, lineOf: LineOf): readonly ConfigWarning[] {
  const warnings: ConfigWarning[] = [];
  const report: Report = (path, message) => {
    warnings.push({ path: formatPath(path), line: lineOf(path), message });
  };
  if (config.log.access.enabled) {
    report(['log', 'access', 'enabled'], 'this version writes no log of requests');
  }
  warnOfListeners(config, report);
  warnOfRoutes(config, report);
  warnOfRateLimits(config, report);
  const used = usedUpstreams(config);
  for (const upstream of Object.values(config.upstreams)) {
    warnOfUpstream(upstream, report);
    if (!used.has(upstream.name)) report(['upstreams', upstream.name], 'nothing is sent to it');
  }
  return warnings.sort((a, b) => a.line - b.line);
}

function warnOfListeners(config: Config, report: Report): void {
  for (const [index, listener] of config.listeners.entries()) {
    const { proxyProtocol, trustedProxies, address } = listener;
    if (!proxyProtocol || trustedProxies.length > 0 || address.kind === 'unix') continue;
    const message = 'without trustedProxies, who connects may name any client address';
    report(['listeners', index, 'proxyProtocol'], message);
  }
}

function warnOfRoutes(config: Config, report: Report): void {
  const all = config.routes.findIndex(({ match }) => {
    const isAnyPath = match.path === '*' || match.path === '/*';
    const isAny = match.hosts.length === 0 && match.methods.length === 0;
    return isAnyPath && isAny && Object.keys(match.headers).length === 0;
  });
  if (all === -1) return;
  const { name } = config.routes[all]!;
  for (let index = all + 1; index < config.routes.length; index++) {
    report(['routes', index], `is never reached: ${name}, before it, takes every request`);
  }
}

function warnOfRateLimits(config: Config, report: Report): void {
  const used = new Set(config.routes.flatMap((route) => route.rateLimits));
  for (const name of Object.keys(config.rateLimits)) {
    if (!used.has(name)) report(['rateLimits', name], 'no route has this limit');
  }
}

function usedUpstreams(config: Config): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { split, mirror } of config.routes) {
    for (const { upstream, weight } of split) if (weight > 0) used.add(upstream);
    if (mirror !== null) used.add(mirror.upstream);
  }
  for (const { passthrough } of config.listeners) {
    for (const { upstream } of passthrough) used.add(upstream);
  }
  return used;
}

function warnOfUpstream(upstream: UpstreamConfig, report: Report): void {
  const path = ['upstreams', upstream.name];
  for (const source of Object.keys(upstream.discovery)) {
    const only =
      upstream.endpoints.length === 0 ? '; nobody can be picked until the API adds one' : '';
    report([...path, 'discovery', source], `this version reads no discovery source${only}`);
  }
  const { engine, pipelining } = upstream.connection;
  if (upstream.protocol !== 'http/1.1') {
    if (engine !== 'wire') {
      report([...path, 'connection', 'engine'], `has no effect with protocol ${upstream.protocol}`);
    }
    if (pipelining !== 1) {
      const message = `has no effect with protocol ${upstream.protocol}`;
      report([...path, 'connection', 'pipelining'], message);
    }
  } else if (engine === 'undici' && pipelining !== 1) {
    report([...path, 'connection', 'pipelining'], 'has no effect with engine undici');
  }
}
