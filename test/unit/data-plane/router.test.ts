import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import { Route, Router, rewriteTarget } from '../../../src/data-plane/router.ts';

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
  return router.find(request)?.config.name;
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
  assert.equal(find(router, '/', 'shop.example'), undefined);
  assert.equal(find(router, '/', 'evil-shop.example'), undefined);
});

test('methods and headers must all match', () => {
  const router = routerOf({ methods: ['POST'], headers: { 'x-canary': '1' } });
  assert.equal(find(router, '/', 'x', 'POST', { 'x-canary': '1' }), 'r0');
  assert.equal(find(router, '/', 'x', 'GET', { 'x-canary': '1' }), undefined);
  assert.equal(find(router, '/', 'x', 'POST', { 'x-canary': '2' }), undefined);
});

test('stripping a prefix keeps the rest as it came', () => {
  assert.equal(rewriteTarget('/api/a%2Fb?x=/api', '/api'), '/a%2Fb?x=/api');
  assert.equal(rewriteTarget('/api', '/api'), '/');
  assert.equal(rewriteTarget('/api?x', '/api'), '/?x');
  assert.equal(rewriteTarget('/apix', '/api'), '/apix');
  assert.equal(rewriteTarget('/other', '/api'), '/other');
});
