import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import { AMBIGUOUS, Route, Router } from '../../../src/data-plane/router.ts';

function routerOf(...matches: object[]): Router {
  const config = configFrom({
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    routes: matches.map((match, index) => ({ name: `r${index}`, match, upstream: 'u' })),
    upstreams: { u: { endpoints: ['127.0.0.1:1'] } },
  });
  return new Router(config.routes.map((route) => new Route(route)));
}

function find(router: Router, path: string, host = 'x', method = 'GET', headers: object = {}) {
  const values = headers as Record<string, string>;
  const request = { method, path, host, headerValue: (name: string) => values[name] ?? '' };
  const route = router.find(request);
  return route === AMBIGUOUS ? 'ambiguous' : route?.config.name;
}

test('the first route that matches wins', () => {
  const router = routerOf({ path: '/a/*' }, { path: '/a/b' }, { path: '/*' });
  assert.equal(find(router, '/a/b'), 'r0');
  assert.equal(find(router, '/b'), 'r2');
});

test('a prefix takes its own folder, with and without the slash, and no sibling', () => {
  const router = routerOf({ path: '/api/*' });
  assert.equal(find(router, '/api'), 'r0');
  assert.equal(find(router, '/api/'), 'r0');
  assert.equal(find(router, '/api/x'), 'r0');
  assert.equal(find(router, '/apix'), undefined);
});

test('hosts match without port and case, wildcards only below', () => {
  const router = routerOf({ hosts: ['api.example.com', '*.shop.example'] });
  assert.equal(find(router, '/', 'API.example.com:8080'), 'r0');
  assert.equal(find(router, '/', 'a.shop.example'), 'r0');
  assert.equal(find(router, '/', 'api.example.com.:80'), 'r0');
  assert.equal(find(router, '/', 'shop.example'), undefined);
  assert.equal(find(router, '/', 'evil-shop.example'), undefined);
});

test('methods and headers must all match', () => {
  const router = routerOf({ methods: ['POST'], headers: { 'x-canary': '1' } });
  assert.equal(find(router, '/', 'x', 'POST', { 'x-canary': '1' }), 'r0');
  assert.equal(find(router, '/', 'x', 'GET', { 'x-canary': '1' }), undefined);
  assert.equal(find(router, '/', 'x', 'POST', { 'x-canary': '2' }), undefined);
});

test('a path is matched by what it says, however it is spelled', () => {
  const router = routerOf({ path: '/api/*' }, { path: '/admin' }, { path: '/caf%c3%a9' });
  for (const path of [
    '/api/../admin',
    '/x/%2e%2E/admin',
    '//admin',
    '/./admin',
    '/%61dmin',
    '/../admin',
  ]) {
    assert.equal(find(router, path), 'r1', path);
  }
  for (const path of [
    '/x/../api/y',
    '//api//y',
    '/api/.',
    '/a%70i/x%2Fy',
    '/api/x;v=1',
    '/api/100%',
  ]) {
    assert.equal(find(router, path), 'r0', path);
  }
  for (const path of ['/admin/', '/api/../other', '/apix', '/..', '/%2561dmin']) {
    assert.equal(find(router, path), undefined, path);
  }
  assert.equal(find(router, '/caf%C3%A9'), 'r2');
});

test('a path that servers read in two ways is refused where that decides the route', () => {
  const router = routerOf({ path: '/api/*' }, { path: '/*' });
  for (const path of [
    '/api%2Fx',
    '/api/..%2Fadmin',
    '/api/..%5cadmin',
    '/x\\..\\api/',
    '/api/..;a/admin',
    '/api;x/y',
    '/;/api/y',
    '/;a=b/api',
    '/api%3bx/y',
    '/a/..%3b/api/y',
    '/api;x%2F../admin',
  ]) {
    assert.equal(find(router, path), 'ambiguous', path);
  }
  assert.equal(find(router, '/api/group%2Fproject'), 'r0');
  assert.equal(find(router, '/other%2Fapi'), 'r1');
  assert.equal(find(router, '/api/x;v=1/y'), 'r0');
  assert.equal(find(router, '/other;v=1'), 'r1');
  assert.equal(find(routerOf({ path: '/*' }), '/api/..%2Fadmin'), 'r0');
});
