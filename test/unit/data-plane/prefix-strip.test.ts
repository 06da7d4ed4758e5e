import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrefixStrip } from '../../../src/data-plane/prefix-strip.ts';

function rewritten(target: string, prefix: string): string {
  return new PrefixStrip(prefix).rewrite(target);
}

test('stripping a prefix keeps the rest as it came', () => {
  assert.equal(rewritten('/api/a%2Fb?x=/api', '/api'), '/a%2Fb?x=/api');
  assert.equal(rewritten('/api', '/api'), '/');
  assert.equal(rewritten('/api?x', '/api'), '/?x');
  assert.equal(rewritten('/apix', '/api'), '/apix');
  assert.equal(rewritten('/other', '/api'), '/other');
  assert.equal(rewritten('/api/x', '/api/'), '/x');
  assert.equal(rewritten('/api/x', '/'), '/api/x');
  assert.equal(rewritten('*', '/api'), '*');
});

test('a prefix is stripped in the spelling in which it came', () => {
  for (const [target, left] of [
    ['//api/x', '/x'],
    ['/%61pi/x%2Fy?/api', '/x%2Fy?/api'],
    ['/./api/./x', '/./x'],
    ['/x/../api/y', '/y'],
    ['/api/../api/y', '/y'],
    ['/api/v1/../y', '/v1/../y'],
    ['/api/.', '/.'],
    ['/caf%c3%A9/x', '/caf%c3%A9/x'],
  ] as const) {
    assert.equal(rewritten(target, '/api'), left, target);
  }
  assert.equal(rewritten('/CAF%c3%a9/x', '/CAF%C3%A9'), '/x');
  assert.equal(rewritten('/a/./b//c', '/a/b'), '/c');
});

test('a path that is not below the prefix keeps all of it', () => {
  for (const target of ['/api/../admin', '/api%2Fx', '/api\\x', '/API/x', '/api;v=1/x', '/..']) {
    assert.equal(rewritten(target, '/api'), target);
  }
});

test('what is left behind a prefix names no host', () => {
  for (const target of [
    '/api//evil.example/x',
    '/api/\\evil.example/x',
    '//api///\\/evil.example/x',
  ]) {
    assert.equal(rewritten(target, '/api'), '/evil.example/x', target);
  }
  assert.equal(rewritten('/api//', '/api'), '/');
  assert.equal(rewritten('/api//?x', '/api'), '/?x');
});
