import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InputError } from '../../../src/errors.ts';
import { badStatusCount, parseLoadRecord } from '../../../src/telemetry/load-record.ts';
import { loadRecord } from '../../helpers/load-records.ts';

test('a record comes back from its JSON', () => {
  const record = loadRecord();
  assert.deepEqual(parseLoadRecord(JSON.stringify(record), 'a.json'), record);
});

test('what is not a record is refused with what was expected and found', () => {
  const cut = { ...loadRecord(), histogram: undefined };
  const cases: [string, RegExp][] = [
    ['{', /^a\.json: expected JSON, found /],
    ['7', /^a\.json: expected an object, found 7$/],
    ['{}', /^a\.json: format: expected millrace-load\/1, found nothing$/],
    ['{"format":"x"}', /^a\.json: format: expected millrace-load\/1, found "x"$/],
    [JSON.stringify(cut), /^a\.json: histogram: expected a string, found nothing$/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseLoadRecord(text, 'a.json'),
      (error) => error instanceof InputError && message.test(error.message),
      text,
    );
  }
});

test('only 2xx and 3xx are good statuses', () => {
  assert.equal(badStatusCount({ 200: 5, 204: 1, 304: 2, 101: 3, 404: 4, 503: 5 }), 12);
});
