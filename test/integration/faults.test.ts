// The fault matrix on the wire engine, and the page that tells of it. The undici engine's is in test/peers: its timeouts
// are whole seconds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { withMatrix } from '../faults/page.ts';
import { testMatrix } from '../faults/suite.ts';
import { unpadded } from '../helpers/unpadded.ts';

testMatrix('wire');

test('docs/faults.md tells of this matrix (npm run faults -- --write)', () => {
  const page = readFileSync('docs/faults.md', 'utf8');
  assert.ok(unpadded(page) === unpadded(withMatrix(page)), 'run: npm run faults -- --write');
});
