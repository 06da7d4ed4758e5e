// Finds the route of a request: first match wins. Paths are compared in their normal form; what is forwarded
// is what came.
import type { RouteConfig } from '../config/config.ts';
import { HostPatterns } from './host-patterns.ts';
import { HeaderRewrite } from './header-rewrite.ts';
import { isDisputed, isUnusual, normalPath, otherReadings } from './path-reading.ts';
import { PrefixStrip } from './prefix-strip.ts';
import type { Mirroring } from './mirroring.ts';
import type { RouteLimits } from './route-limits.ts';
import type { Split } from './split.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

/** What a route can be matched on. */
export interface RoutableRequest {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  /** Lower-case name → value; '' when absent. */
  headerValue(name: string): string;
}

/** One route, compiled. */
export class Route {
  readonly config: RouteConfig;
  /** null: the route has none. */
  readonly limits: RouteLimits | null;
  /** Where all goes; null: as the split says. */
  readonly upstream: WorkerUpstream | null;
  /** null: all goes to one upstream. */
  readonly split: Split | null;
  /** null: nothing is copied. */
  readonly mirroring: Mirroring | null;
  /** Towards the upstream. */
  readonly requestRewrite: HeaderRewrite;
  /** Towards the client. */
  readonly responseRewrite: HeaderRewrite;
  readonly prefixStrip: PrefixStrip;
  private readonly hosts: HostPatterns;
  /** `.example.com` for `*.example.com`. */
  private readonly exactPath: string;
  private readonly pathPrefix: string;
  private readonly methods: readonly string[];
  private readonly headers: readonly (readonly [string, string])[];

  constructor(
    config: RouteConfig,
    upstream: WorkerUpstream | null = null,
    limits: RouteLimits | null = null,
    split: Split | null = null,
    mirroring: Mirroring | null = null,
  ) {
    this.config = config;
    this.upstream = upstream;
    this.limits = limits;
    this.split = split;
    this.mirroring = mirroring;
    this.requestRewrite = new HeaderRewrite(config.headers.request, true);
    this.responseRewrite = new HeaderRewrite(config.headers.response, false);
    this.prefixStrip = new PrefixStrip(config.rewrite.stripPrefix);
    const { hosts, path, methods, headers } = config.match;
    this.hosts = new HostPatterns(hosts);
    const isPrefix = path.endsWith('*');
    this.exactPath = isPrefix ? '' : normalPath(path);
    this.pathPrefix = isPrefix ? normalPath(path.slice(0, -1)) : '';
    this.methods = methods;
    this.headers = Object.entries(headers);
  }

  /** Whether the path decides anything. */
  get looksAtPath(): boolean {
    return this.pathPrefix !== '/';
  }

  /** @param path the request's, read for matching. */
  matches(request: RoutableRequest, path: string): boolean {
    if (this.exactPath === '') {
      if (this.pathPrefix.length > 1 && !this.hasPrefix(path)) return false;
    } else if (path !== this.exactPath) {
      return false;
    }
    if (!this.hosts.isAny && !this.hosts.matches(hostName(request.host))) return false;
    if (this.methods.length > 0 && !this.methods.includes(request.method)) return false;
    for (const [name, value] of this.headers) {
      if (request.headerValue(name) !== value) return false;
    }
    return true;
  }

  /** `/api/*` also takes `/api` itself, as an operator means it. */
  private hasPrefix(path: string): boolean {
    return (
      path.startsWith(this.pathPrefix) ||
      (this.pathPrefix.endsWith('/') && path === this.pathPrefix.slice(0, -1))
    );
  }
}

/** The name in a Host header as it is compared. A final dot only says that the name is whole. */
function hostName(hostAndPort: string): string {
  const host = withoutPort(hostAndPort).toLowerCase();
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

/** The host of a Host header; `[v6]` keeps its brackets. */
function withoutPort(hostAndPort: string): string {
  const colon = hostAndPort.lastIndexOf(':');
  return colon > hostAndPort.lastIndexOf(']') ? hostAndPort.slice(0, colon) : hostAndPort;
}

/** No route: the path can be read in two ways that lead to different ones. */
export const AMBIGUOUS = null;

export class Router {
  private readonly routes: readonly Route[];
  private readonly looksAtPaths: boolean;

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    this.looksAtPaths = routes.some((route) => route.looksAtPath);
  }

  /**
   * @returns undefined when no route matches: 404. AMBIGUOUS when servers disagree on what the path says, and that
   * would change the route: 400.
   */
  find(request: RoutableRequest): Route | undefined | typeof AMBIGUOUS {
    const { path } = request;
    if (!this.looksAtPaths || !isUnusual(path)) return this.match(request, path);
    const route = this.match(request, normalPath(path));
    if (!isDisputed(path)) return route;
    const isOne = otherReadings(path).every((other) => this.match(request, other) === route);
    return isOne ? route : AMBIGUOUS;
  }

  private match(request: RoutableRequest, path: string): Route | undefined {
    for (const route of this.routes) {
      if (route.matches(request, path)) return route;
    }
    return undefined;
  }
}
