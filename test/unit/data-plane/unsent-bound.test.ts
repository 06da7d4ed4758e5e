import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { SocketOptions } from '../../../src/data-plane/socket-options.ts';
import { readSetting, UnsentBound } from '../../../src/data-plane/unsent-bound.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const UNBOUNDED = 2 ** 32 - 1;

test("where the bound cannot be set for a socket, the operator is told of the system's setting", () => {
  const bound = new UnsentBound(UNBOUNDED, null);
  assert.equal(bound.advice, null);
  bound.apply(80);
  assert.match(
    bound.advice!.message,
    /net\.ipv4\.tcp_notsent_lowat to 131072 .*docs\/protocols\.md/,
  );
  assert.deepEqual(bound.advice!.fields, {
    setting: 'net.ipv4.tcp_notsent_lowat',
    value: UNBOUNDED,
    advised: 131_072,
  });
});

test('a system that is bounded, or has no such setting, is left alone and not spoken of', () => {
  for (const setting of [131_072, 1_048_576, null]) {
    const bound = new UnsentBound(setting, null);
    bound.apply(80);
    assert.equal(bound.advice, null, String(setting));
  }
});

const options = await SocketOptions.load();

test(
  'it is set on the sockets that listen on a port, and on no other',
  { skip: options === null ? 'the C library cannot be called here' : undefined },
  async (context) => {
    const server = createServer().listen(0, '::1');
    context.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    assert.equal(options!.boundUnsent(port, 131_072), 1);
    assert.equal(options!.boundUnsent(port === 65_535 ? 1 : port + 1, 131_072), 0);
    const bound = new UnsentBound(UNBOUNDED, options);
    bound.apply(port);
    assert.equal(bound.advice, null);
  },
);

test('what the system says is read; what is no number, or not there, is no setting', (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'tcp_notsent_lowat');
  const read = (text: string): number | null => {
    writeFileSync(file, text);
    return readSetting(file);
  };
  assert.deepEqual(['4294967295\n', '131072', '', 'many'].map(read), [
    UNBOUNDED,
    131_072,
    null,
    null,
  ]);
  assert.equal(readSetting(join(folder, 'absent')), null);
});
