import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { hashKey, mix32, stickyToken } from '../../../src/policies/key-hash.ts';

describe('key hash', () => {
  it('is the CRC-32 of the UTF-8 bytes, as zlib has it', () => {
    for (const key of [
      '',
      'a',
      '10.0.0.1',
      '/path?q=1',
      'ä',
      '€uro',
      '𝄞 clef',
      '\u0000\u007f\u07ff\uffff',
    ]) {
      assert.equal(hashKey(key) >>> 0, crc32(key), JSON.stringify(key));
    }
  });

  it('mixes without collisions, as a bijection does', () => {
    const seen = new Set<number>();
    for (let hash = 0; hash < 10_000; hash++) seen.add(mix32(hash));
    assert.equal(seen.size, 10_000);
    // MurmurHash3's own value.
    assert.equal(mix32(1), 0x514e28b7);
  });

  it('gives endpoints tokens that differ, stay and do not show the address', () => {
    const tokens = new Set<string>();
    for (let port = 1; port <= 1000; port++) tokens.add(stickyToken(`127.0.0.1:${port}`));
    assert.equal(tokens.size, 1000);
    for (const token of tokens) assert.match(token, /^[0-9a-f]{16}$/);
    assert.equal(stickyToken('127.0.0.1:9001'), stickyToken('127.0.0.1:9001'));
  });
});
