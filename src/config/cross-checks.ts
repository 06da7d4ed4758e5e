// The rules that span sections: references, names and addresses given twice, capacities, the admin
// API's exposure. They read the raw tree, not the schema's output, so that they are reported together
// with whatever else is wrong with the file; a part of the wrong shape is skipped, the schema reports it.
// Called by load.ts.
import { isLoopback, parseAddress } from './address.ts';
import { CAPACITY_ENDPOINTS, CAPACITY_UPSTREAMS, DEFAULT_ADMIN_ADDRESS } from './schema.ts';
import { isMapping, nearestHint, type TreeNode, type TreePath } from './tree.ts';

/** A problem whose line is not looked up yet. */
export interface Finding {
  readonly path: TreePath;
  readonly expected: string;
  /** Absent: what stands at the path. */
  readonly found?: string;
}

/** All rules over the root of a tree. */
export function crossCheck(root: TreeNode): Finding[] {
  return [
    ...checkAdmin(root.get('admin')),
    ...checkNames(root.get('listeners'), 'listener'),
    ...checkNames(root.get('routes'), 'route'),
    ...checkListenerAddresses(root),
    ...checkReferences(root),
    ...checkLimitStores(root),
    ...checkUpstreamsAndRoutes(root),
    ...checkHeaderNames(root),
    ...upstreamNodes(root).flatMap(checkEndpoints),
    ...checkCapacity(root),
  ];
}

function upstreamNodes(root: TreeNode): TreeNode[] {
  return root
    .get('upstreams')
    .entries()
    .map(([, upstream]) => upstream);
}

function checkAdmin(admin: TreeNode): Finding[] {
  const address = parseAddress(admin.get('address').text ?? DEFAULT_ADMIN_ADDRESS, 0);
  const token = admin.get('token');
  const hasToken = !token.isAbsent && token.value !== '';
  if (address === undefined || isLoopback(address) || hasToken) return [];
  const expected = 'a token, because the admin address is not loopback';
  return [{ path: token.path, expected, found: 'none' }];
}

/** What a finding about a second use points at, and what must be there only once. */
interface Identified {
  readonly path: TreePath;
  readonly identity: string | undefined;
  readonly found?: string;
}

function checkOnce(what: string, items: readonly Identified[]): Finding[] {
  const seen = new Set<string>();
  const findings: Finding[] = [];
  for (const { identity, ...place } of items) {
    if (identity === undefined) continue;
    if (seen.has(identity)) findings.push({ ...place, expected: `${what} not given before` });
    seen.add(identity);
  }
  return findings;
}

function checkNames(list: TreeNode, what: string): Finding[] {
  const items = list.items().map((item, index): Identified => {
    const name = item.get('name');
    if (!name.isAbsent) return { path: name.path, identity: name.text };
    // Its position names what has no name, as build.ts does.
    const identity = `${what}-${index + 1}`;
    return { path: name.path, identity, found: `"${identity}", by its position` };
  });
  return checkOnce('a name', items);
}

function checkListenerAddresses(root: TreeNode): Finding[] {
  const addresses = root
    .get('listeners')
    .items()
    .map((listener) => listener.get('address'));
  const admin = root.get('admin').get('address');
  return checkOnce('an address', [
    { path: admin.path, identity: fixedAddress(admin.text ?? DEFAULT_ADMIN_ADDRESS) },
    ...addresses.map(({ path, text }) => ({ path, identity: fixedAddress(text ?? '') })),
  ]);
}

// Two listeners on port 0 get two ports.
function fixedAddress(text: string): string | undefined {
  const address = parseAddress(text, 0);
  return address?.kind === 'tcp' && address.port === 0 ? undefined : address?.text;
}

function checkEndpoints(upstream: TreeNode): Finding[] {
  const endpoints = upstream.get('endpoints');
  const addresses = endpoints
    .items()
    .map((item) => (item.text === undefined ? item.get('address') : item))
    .map(({ path, text }) => ({ path, identity: parseAddress(text ?? '', 1)?.text }));
  const findings = checkOnce('an address', addresses);
  const isEmpty = endpoints.isAbsent || isEmptyList(endpoints.value);
  if (isMapping(upstream.value) && isEmpty && upstream.get('discovery').entries().length === 0) {
    const expected = 'at least one endpoint, or a discovery source';
    findings.push({ path: endpoints.path, expected, found: 'none' });
  }
  return findings;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function checkReferences(root: TreeNode): Finding[] {
  const routes = root.get('routes').items();
  const targets = routes.flatMap((route) => [
    route.get('upstream'),
    ...splitTargets(route),
    route.get('mirror').get('upstream'),
  ]);
  const limits = routes.flatMap((route) => route.get('rateLimits').items());
  for (const listener of root.get('listeners').items()) {
    targets.push(...passedTo(listener));
  }
  return [
    ...targets.flatMap((node) => checkReference(node, root.get('upstreams'), 'an upstream')),
    ...limits.flatMap((node) => checkReference(node, root.get('rateLimits'), 'a rate limit')),
  ];
}

// A request asks the store of its limits in one call, and one call goes to one server.
function checkLimitStores(root: TreeNode): Finding[] {
  const findings: Finding[] = [];
  for (const route of root.get('routes').items()) {
    let first: string | undefined;
    for (const node of route.get('rateLimits').items()) {
      const limit = root.get('rateLimits').get(node.text ?? '');
      if (limit.get('store').text !== 'redis') continue;
      const redis = limit.get('redis');
      const store = `${redis.get('url').text} ${redis.get('timeout').text}`;
      first ??= store;
      if (store === first) continue;
      const expected = "a limit with the same redis section as the route's others, or a local one";
      findings.push({ path: node.path, expected });
    }
  }
  return findings;
}

/** Upstreams of a listener that passes TLS through. */
function passedTo(listener: TreeNode): TreeNode[] {
  return listener
    .get('passthrough')
    .items()
    .map((entry) => entry.get('upstream'));
}

function splitTargets(route: TreeNode): TreeNode[] {
  return route
    .get('split')
    .items()
    .map((entry) => entry.get('upstream'));
}

function checkReference(node: TreeNode, table: TreeNode, what: string): Finding[] {
  if (node.text === undefined || !table.get(node.text).isAbsent) return [];
  const known = table.entries().map(([name]) => name);
  return [{ path: node.path, expected: `${what} of this file${nearestHint(node.text, known)}` }];
}

function checkUpstreamsAndRoutes(root: TreeNode): Finding[] {
  const upstreams = root.get('upstreams');
  const upstreamCount = upstreams.entries().length;
  if (isMapping(upstreams.value) && upstreamCount === 0) {
    return [{ path: upstreams.path, expected: 'at least one upstream', found: 'none' }];
  }
  // load.ts makes the only route to a single upstream; between several it cannot choose.
  const routes = root.get('routes');
  if (!routes.isAbsent || upstreamCount < 2) return [];
  const listeners = root.get('listeners').items();
  const areAllPassed = listeners.every((listener) => passedTo(listener).length > 0);
  if (listeners.length > 0 && areAllPassed) return [];
  const expected = `routes, because there are ${upstreamCount} upstreams to choose from`;
  return [{ path: routes.path, expected }];
}

// Header names are equal whatever their case: two spellings of one would hide each other.
function checkHeaderNames(root: TreeNode): Finding[] {
  return root
    .get('routes')
    .items()
    .flatMap((route) => [
      route.get('match').get('headers'),
      route.get('headers').get('request').get('set'),
      route.get('headers').get('response').get('set'),
    ])
    .flatMap((map) => {
      const headers = map.entries().map(([name, { path }]) => ({
        path,
        identity: name.toLowerCase(),
        found: `"${name}"`,
      }));
      return checkOnce('a header (in any case)', headers);
    });
}

function checkCapacity(root: TreeNode): Finding[] {
  const upstreams = upstreamNodes(root);
  const endpointCount = upstreams.reduce(
    (sum, upstream) => sum + upstream.get('endpoints').items().length,
    0,
  );
  const capacity = root.get('capacity');
  return [
    ...checkRoom(capacity.get('endpoints'), endpointCount, CAPACITY_ENDPOINTS),
    ...checkRoom(capacity.get('upstreams'), upstreams.length, CAPACITY_UPSTREAMS),
  ];
}

function checkRoom(node: TreeNode, count: number, initial: number): Finding[] {
  const room = node.isAbsent ? initial : Number(node.value);
  if (room < 1 || !(count > room)) return [];
  const expected = `room for the ${count} ${node.path.at(-1)} of this file`;
  return [{ path: node.path, expected, found: String(room) }];
}
