// Units: every spelling of the contract, and what looks like one but is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseBytes,
  parseDurationMs,
  parseRatePer1000s,
  parseStatusRanges,
} from '../../../src/config/units.ts';

test('reads durations in whole milliseconds', () => {
  const cases: [string, number][] = [
    ['0s', 0],
    ['250ms', 250],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['1.1m', 66_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
  ];
  for (const [text, ms] of cases) assert.equal(parseDurationMs(text), ms, text);
});

test('refuses durations without unit, sign, space or whole milliseconds', () => {
  for (const text of ['', '10', '10 s', '-1s', '+1s', '1d', '0.5ms', '1s1s', 's', '1e3s', '10S']) {
    assert.equal(parseDurationMs(text), undefined, text);
  }
});

test('reads sizes in bytes', () => {
  const cases: [string, number][] = [
    ['0', 0],
    ['512', 512],
    ['16KiB', 16_384],
    ['1.5KiB', 1_536],
    ['1MiB', 1_048_576],
    ['2GiB', 2_147_483_648],
  ];
  for (const [text, bytes] of cases) assert.equal(parseBytes(text), bytes, text);
});

test('refuses sizes in other units or with a fraction of a byte', () => {
  for (const text of ['', '16KB', '16k', '1 KiB', '-1', '0.5', '1.0001KiB', '999999999999GiB']) {
    assert.equal(parseBytes(text), undefined, text);
  }
});

test("reads rates per second and, cut as nginx's, per minute", () => {
  assert.equal(parseRatePer1000s('10/s'), 10_000);
  assert.equal(parseRatePer1000s('600/m'), 10_000);
  assert.equal(parseRatePer1000s('10/m'), 166);
  assert.equal(parseRatePer1000s('1/m'), 16);
  for (const text of ['0/s', '0/m', '10', '10/h', '10 /s', '1.5/s', '10r/s', '-1/s']) {
    assert.equal(parseRatePer1000s(text), undefined, text);
  }
});

test('reads status ranges', () => {
  assert.deepEqual(parseStatusRanges('200-399'), [{ from: 200, to: 399 }]);
  assert.deepEqual(parseStatusRanges('200-299, 404'), [
    { from: 200, to: 299 },
    { from: 404, to: 404 },
  ]);
  for (const text of ['', '200-', '99', '600', '399-200', '200,,204', 'ok', '200;204']) {
    assert.equal(parseStatusRanges(text), undefined, text);
  }
});
