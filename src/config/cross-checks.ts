// The rules that span sections: references, names and addresses given twice, capacities, the admin
// API's exposure. They read the raw tree, not the schema's output, so that they are reported together
// with whatever else is wrong with the file. Called by load.ts.
import { isLoopback, parseAddress } from './address.ts';
import { CAPACITY_ENDPOINTS, CAPACITY_UPSTREAMS } from './schema.ts';
import { describe, isMapping, nearestHint, type TreeNode, type TreePath } from './tree.ts';

/** A problem whose line is not looked up yet. */
export interface Finding {
  readonly path: TreePath;
  readonly expected: string;
  readonly found: string;
}

/** All rules over the root of a tree. A part of the wrong shape is skipped: the schema reports it. */
export function crossCheck(root: TreeNode): Finding[] {
  return [
    ...checkAdmin(root.get('admin')),
    ...checkListenerNames(root),
    ...checkListenerAddresses(root),
    ...checkRouteNames(root),
    ...checkReferences(root),
    ...checkUpstreamsAndRoutes(root),
    ...checkHeaderCase(root),
    ...root
      .get('upstreams')
      .entries()
      .flatMap(([, upstream]) => checkEndpoints(upstream)),
    ...checkCapacity(root),
  ];
}

function finding(node: TreeNode, expected: string, found = describe(node.value)): Finding {
  return { path: node.path, expected, found };
}

function checkAdmin(admin: TreeNode): Finding[] {
  const address = parseAddress(admin.get('address').text ?? '127.0.0.1:9900', 0);
  const token = admin.get('token');
  const hasToken = !token.isAbsent && token.value !== '';
  if (address === undefined || isLoopback(address) || hasToken) return [];
  return [finding(token, `a token, because ${address.text} is not loopback`, 'none')];
}

// Positions name what has no name, as build.ts does.
function checkListenerNames(root: TreeNode): Finding[] {
  return checkUnique(root.get('listeners').items(), (item, index) => [
    item.get('name'),
    item.get('name').isAbsent ? `listener-${index + 1}` : item.get('name').text,
  ]);
}

function checkRouteNames(root: TreeNode): Finding[] {
  return checkUnique(root.get('routes').items(), (item, index) => [
    item.get('name'),
    item.get('name').isAbsent ? `route-${index + 1}` : item.get('name').text,
  ]);
}

function checkListenerAddresses(root: TreeNode): Finding[] {
  const items = [
    root.get('admin').get('address'),
    ...root
      .get('listeners')
      .items()
      .map((listener) => listener.get('address')),
  ];
  return checkUnique(items, (item) => [item, fixedAddress(item)]);
}

// Two listeners on port 0 get two ports.
function fixedAddress(node: TreeNode): string | undefined {
  const address = parseAddress(node.text ?? '', 0);
  return address === undefined || (address.kind === 'tcp' && address.port === 0)
    ? undefined
    : address.text;
}

function checkEndpoints(upstream: TreeNode): Finding[] {
  const endpoints = upstream.get('endpoints');
  const found = checkUnique(endpoints.items(), (item) => {
    const address = item.text === undefined ? item.get('address') : item;
    return [address, parseAddress(address.text ?? '', 1)?.text];
  });
  const isEmpty = endpoints.isAbsent || isEmptyList(endpoints.value);
  if (isMapping(upstream.value) && isEmpty && upstream.get('discovery').entries().length === 0) {
    found.push(finding(endpoints, 'at least one endpoint, or a discovery source'));
  }
  return found;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function checkUnique(
  items: readonly TreeNode[],
  identify: (item: TreeNode, index: number) => readonly [TreeNode, string | undefined],
): Finding[] {
  const firstByIdentity = new Map<string, TreeNode>();
  const found: Finding[] = [];
  for (const [index, item] of items.entries()) {
    const [node, identity] = identify(item, index);
    if (identity === undefined) continue;
    const first = firstByIdentity.get(identity);
    if (first === undefined) firstByIdentity.set(identity, node);
    else found.push(finding(node, 'each only once', `"${identity}" again`));
  }
  return found;
}

function checkReferences(root: TreeNode): Finding[] {
  const upstreams = root.get('upstreams');
  const limits = root.get('rateLimits');
  const found: Finding[] = [];
  for (const route of root.get('routes').items()) {
    const targets = [
      route.get('upstream'),
      route.get('mirror').get('upstream'),
      ...route
        .get('split')
        .items()
        .map((entry) => entry.get('upstream')),
    ];
    for (const target of targets) found.push(...checkReference(target, upstreams, 'an upstream'));
    for (const limit of route.get('rateLimits').items()) {
      found.push(...checkReference(limit, limits, 'a rate limit'));
    }
  }
  return found;
}

function checkReference(node: TreeNode, table: TreeNode, what: string): Finding[] {
  if (node.text === undefined || !table.get(node.text).isAbsent) return [];
  const known = table.entries().map(([name]) => name);
  return [finding(node, `${what} of this file${nearestHint(node.text, known)}`)];
}

function checkUpstreamsAndRoutes(root: TreeNode): Finding[] {
  const upstreams = root.get('upstreams');
  const upstreamCount = upstreams.entries().length;
  if (upstreamCount === 0) {
    return isMapping(upstreams.value) ? [finding(upstreams, 'at least one upstream', 'none')] : [];
  }
  if (!root.get('routes').isAbsent || upstreamCount === 1) return [];
  const expected = `routes, because there are ${upstreamCount} upstreams to choose from`;
  return [finding(root.get('routes'), expected)];
}

// Header names are equal whatever their case: two spellings of one would hide each other.
function checkHeaderCase(root: TreeNode): Finding[] {
  return root
    .get('routes')
    .items()
    .flatMap((route) => [
      route.get('match').get('headers'),
      route.get('headers').get('request').get('set'),
      route.get('headers').get('response').get('set'),
    ])
    .flatMap((map) => {
      const headers = map.entries().map(([, node]) => node);
      return checkUnique(headers, (node) => [node, String(node.path.at(-1)).toLowerCase()]);
    });
}

function checkCapacity(root: TreeNode): Finding[] {
  const upstreams = root.get('upstreams').entries();
  const counts: [string, number, number][] = [
    [
      'endpoints',
      upstreams.reduce((sum, [, upstream]) => sum + upstream.get('endpoints').items().length, 0),
      CAPACITY_ENDPOINTS,
    ],
    ['upstreams', upstreams.length, CAPACITY_UPSTREAMS],
  ];
  return counts.flatMap(([key, count, initial]) => {
    const node = root.get('capacity').get(key);
    const capacity = node.isAbsent ? initial : Number(node.value);
    if (!(count > capacity)) return [];
    return [finding(node, `room for the ${count} ${key} of this file`, String(capacity))];
  });
}
