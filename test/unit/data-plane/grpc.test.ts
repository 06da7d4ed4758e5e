// What of a request is gRPC's, and what a gRPC client is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXCHANGE_ERRORS, type ExchangeErrorCode } from '../../../src/errors.ts';
import {
  grpcFields,
  grpcTimeoutMs,
  isGrpcAnswer,
  isGrpcType,
  judgedStatus,
} from '../../../src/data-plane/grpc.ts';

test('content types', () => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'Application/GRPC; x=1']) {
    assert.equal(isGrpcType(type), true, type);
  }
  for (const type of ['application/grpc-web', 'application/grpc-web+proto', 'text/html', '']) {
    assert.equal(isGrpcType(type), false, type);
  }
});

test('answers', () => {
  assert.equal(isGrpcAnswer('x: 1\r\nContent-Type: application/grpc+proto'), true);
  assert.equal(isGrpcAnswer('content-type: text/html\r\nx-was: application/grpc'), false);
  assert.equal(isGrpcAnswer('content-type: application/grpc-web'), false);
  assert.equal(isGrpcAnswer(''), false);
});

test('every status counts as docs/protocols.md says', () => {
  const failed: Readonly<Record<number, number>> = { 2: 500, 4: 504, 13: 500, 14: 503, 15: 500 };
  for (let code = 0; code <= 16; code++) {
    assert.equal(judgedStatus(`a: b\r\nGrpc-Status: ${code}`, false), failed[code] ?? 200);
  }
  assert.equal(judgedStatus('grpc-status: 4', true), 200);
  assert.equal(judgedStatus('grpc-status: 14', true), 503);
  for (const value of ['17', '99', '1000', '-1', 'x', '', '1e1']) {
    assert.equal(judgedStatus(`grpc-status: ${value}`, false), 500, value);
  }
  assert.equal(judgedStatus('grpc-message: 14', false), null);
  assert.equal(judgedStatus('', false), null);
});

test('timeouts', () => {
  const cases: Readonly<Record<string, number>> = {
    '1H': 3_600_000,
    '2M': 120_000,
    '3S': 3000,
    '250m': 250,
    '1500u': 2,
    '1n': 1,
    '0m': 1,
    '99999999H': 2 ** 31 - 1,
  };
  for (const [value, ms] of Object.entries(cases)) assert.equal(grpcTimeoutMs(value), ms, value);
  for (const value of ['', '5', 'm', '-1S', '1s', '1.5S', '123456789S', ' 1S']) {
    assert.equal(grpcTimeoutMs(value), 0, value);
  }
});

test('every error has the status that docs/protocols.md says', () => {
  const statusOf = (code: ExchangeErrorCode): string => grpcFields(code)['grpc-status']!;
  for (const code of Object.keys(EXCHANGE_ERRORS) as ExchangeErrorCode[]) {
    assert.match(statusOf(code), /^(?:4|8|12|13|14)$/, code);
    assert.match(grpcFields(code)['grpc-message']!, /^millrace: [\x20-\x7e]+$/, code);
  }
  const said: Readonly<Record<string, readonly ExchangeErrorCode[]>> = {
    '4': ['response-timeout', 'idle-timeout', 'request-timeout'],
    '8': ['rate-limit', 'body-limit', 'header-limit'],
    '12': ['no-route', 'not-implemented'],
    '13': ['bad-request', 'internal'],
    '14': ['refused', 'reset', 'no-endpoint', 'circuit-open', 'pending-timeout', 'connect-timeout'],
  };
  for (const [status, codes] of Object.entries(said)) {
    for (const code of codes) assert.equal(statusOf(code), status, code);
  }
});
