import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REPLAY_BYTES_MAX, ReplayBuffer } from '../../../src/data-plane/replay-buffer.ts';
import type { UpstreamCall } from '../../../src/data-plane/upstream/engine.ts';

function recorder(): UpstreamCall & { text(): string } {
  const written: Uint8Array[] = [];
  return {
    write: (chunk) => written.push(chunk) > 0,
    endBody: () => undefined,
    resume: () => undefined,
    abort: () => undefined,
    text: () => Buffer.concat(written).toString(),
  };
}

test('gives back a copy of what it was given', () => {
  const buffer = new ReplayBuffer();
  const chunk = Buffer.from('abc');
  buffer.append(chunk);
  chunk.fill(0);
  buffer.append(Buffer.from('def'));
  const call = recorder();
  buffer.replayTo(call);
  assert.equal(call.text(), 'abcdef');
  assert.equal(buffer.isWhole, true);
});

test('is lost, not cut, above its bound, and whole again after a reset', () => {
  const buffer = new ReplayBuffer();
  buffer.append(Buffer.alloc(REPLAY_BYTES_MAX));
  assert.equal(buffer.isWhole, true);
  buffer.append(Buffer.alloc(1));
  assert.equal(buffer.isWhole, false);
  const call = recorder();
  buffer.replayTo(call);
  assert.equal(call.text(), '');
  buffer.reset();
  assert.equal(buffer.isWhole, true);
});
