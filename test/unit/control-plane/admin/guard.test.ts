import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from '../../../../src/control-plane/admin/guard.ts';

const LOOPBACK = { authorization: undefined, origin: undefined, host: '127.0.0.1:9900' };

test('without a token, only addresses and localhost name the admin API', () => {
  for (const host of ['127.0.0.1:9900', '127.0.0.1', '[::1]:9900', 'localhost:9900', undefined]) {
    assert.equal(refusalOf({ ...LOOPBACK, host }, ''), '', host);
  }
  for (const host of [
    'evil.example',
    'evil.example:9900',
    '127.0.0.1.evil.example',
    'localhost.',
  ]) {
    assert.equal(refusalOf({ ...LOOPBACK, host }, ''), 'origin', host);
  }
});

test('a page of another origin is refused, with or without the token', () => {
  const authorization = 'Bearer t';
  for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:8080', 'nonsense']) {
    assert.equal(refusalOf({ ...LOOPBACK, origin }, ''), 'origin', origin);
    assert.equal(refusalOf({ ...LOOPBACK, origin, authorization }, 't'), 'origin', origin);
  }
  assert.equal(refusalOf({ ...LOOPBACK, origin: 'http://127.0.0.1:9900' }, ''), '');
});

test('with a token, any host name will do, and the token must be whole', () => {
  const host = 'proxy.internal:9900';
  assert.equal(refusalOf({ ...LOOPBACK, host, authorization: 'Bearer t' }, 't'), '');
  for (const authorization of [undefined, '', 'Bearer', 'Bearer ', 'Bearer tt', 'Basic t', 't']) {
    assert.equal(refusalOf({ ...LOOPBACK, host, authorization }, 't'), 'token', authorization);
  }
});
