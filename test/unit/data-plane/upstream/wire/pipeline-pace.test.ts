// When requests may be queued: fast answers open the queue, slow ones close it, whether they have come or are still out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PipelinePace } from '../../../../../src/data-plane/upstream/wire/pipeline-pace.ts';

/** One endpoint that answers every 0.1 ms, in 0.3 ms each, but for what is in `outSince`. */
class Answering {
  /** When each of the requests was sent that are not answered. */
  outSince: number[] = [];
  readonly pace: PipelinePace = new PipelinePace('auto', (fromMs, toMs) =>
    this.outSince.some((sentMs) => sentMs >= fromMs && sentMs < toMs),
  );

  constructor() {
    this.pace.lastReadMs = 1000;
  }

  answer(count: number): void {
    for (let index = 0; index < count; index++) {
      this.pace.lastReadMs += 0.1;
      this.pace.record(0.3);
    }
  }
}

test('fast answers open the queue, a slow one closes it for the next 512', () => {
  const endpoint = new Answering();
  assert.equal(endpoint.pace.depth, 1);
  endpoint.answer(16);
  assert.ok(endpoint.pace.depth > 1);
  endpoint.pace.record(500);
  assert.equal(endpoint.pace.depth, 1);
  endpoint.answer(511);
  assert.equal(endpoint.pace.depth, 1);
  endpoint.answer(600);
  assert.ok(endpoint.pace.depth > 1);
});

test('one that is still out after 20 ms keeps the queue closed, as one that came would', () => {
  const endpoint = new Answering();
  endpoint.answer(16);
  endpoint.pace.record(500);
  for (let window = 0; window < 4; window++) {
    endpoint.outSince = [endpoint.pace.lastReadMs + 1];
    endpoint.answer(512);
    assert.equal(endpoint.pace.depth, 1, `window ${window}`);
  }
  endpoint.outSince = [];
  endpoint.answer(512);
  assert.ok(endpoint.pace.depth > 1);
});

test('one that is out in an open queue closes it', () => {
  const endpoint = new Answering();
  endpoint.answer(2 * 512);
  assert.ok(endpoint.pace.depth > 1);
  endpoint.outSince = [endpoint.pace.lastReadMs + 1];
  endpoint.answer(512);
  assert.equal(endpoint.pace.depth, 1);
});

test('what is out for long is looked at once: a long poll does not keep the queue closed', () => {
  const endpoint = new Answering();
  endpoint.answer(16);
  endpoint.outSince = [endpoint.pace.lastReadMs + 1];
  endpoint.pace.record(500);
  endpoint.answer(512);
  assert.equal(endpoint.pace.depth, 1);
  endpoint.answer(512);
  assert.ok(endpoint.pace.depth > 1);
});

test('what was sent within the last 20 ms is not slow yet, and is looked at the next time', () => {
  const endpoint = new Answering();
  endpoint.answer(512);
  endpoint.outSince = [endpoint.pace.lastReadMs + 40];
  endpoint.answer(512);
  assert.ok(endpoint.pace.depth > 1);
  endpoint.answer(512);
  assert.equal(endpoint.pace.depth, 1);
});
