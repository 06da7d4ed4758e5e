import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { adviseOnKernel } from '../../../src/cli/kernel-advice.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

test('a kernel that takes any amount of an answer is spoken of', (context) => {
  const file = join(temporaryFolder(context), 'tcp_notsent_lowat');
  writeFileSync(file, '1048577\n');
  assert.equal(adviseOnKernel(file)?.value, 1_048_577);
  writeFileSync(file, '4294967295\n');
  const advice = adviseOnKernel(file);
  assert.equal(advice?.setting, 'net.ipv4.tcp_notsent_lowat');
  assert.equal(advice.value, 4_294_967_295);
  assert.equal(advice.advised, 131_072);
  assert.match(advice.message, /131072 .*docs\/protocols\.md/);
});

test('one that is bounded, has no such setting or says nothing that is a number is not', (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'tcp_notsent_lowat');
  for (const text of ['131072\n', '1048576', '', 'many']) {
    writeFileSync(file, text);
    assert.equal(adviseOnKernel(file), null, text);
  }
  assert.equal(adviseOnKernel(join(folder, 'absent')), null);
});
