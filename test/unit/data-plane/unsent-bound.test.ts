import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { nextFile, SocketOptions } from '../../../src/data-plane/socket-options.ts';
import { readSetting, UnsentBound } from '../../../src/data-plane/unsent-bound.ts';
import { missingSocketOptions } from '../../helpers/peer.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const UNBOUNDED = 2 ** 32 - 1;

test("where the bound cannot be set for a socket, the operator is told of the system's setting", () => {
  const bound = new UnsentBound(UNBOUNDED, 'not installed');
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
    why: 'not installed',
  });
});

test('a system that is bounded is left alone and not spoken of', () => {
  for (const setting of [131_072, 1_048_576]) {
    const bound = new UnsentBound(setting, 'not installed');
    bound.apply(80);
    assert.equal(bound.advice, null, String(setting));
  }
});

test('a system that does not say is taken for one without a bound', () => {
  const bound = new UnsentBound(null, 'not installed');
  bound.apply(80);
  assert.equal(bound.advice!.fields['value'], null);
});

describe('on listening sockets', { skip: missingSocketOptions() }, () => {
  for (const host of ['127.0.0.1', '::1']) {
    const skip = host === '::1' && !hasIpv6() ? 'no IPv6 here' : undefined;
    test(`it is set on those of a port, and on no other, on ${host}`, { skip }, async (context) => {
      const options = await SocketOptions.load();
      const likelyFile = nextFile();
      const server = createServer().listen(0, host);
      context.after(() => server.close());
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      for (const file of [likelyFile, 0, 1_000_000, -1]) {
        assert.equal(options.boundUnsent(port, 131_072, file), 1, String(file));
      }
      assert.equal(options.boundUnsent(port === 65_535 ? 1 : port + 1, 131_072, likelyFile), 0);
      const bound = new UnsentBound(UNBOUNDED, options);
      bound.apply(port);
      assert.equal(bound.advice, null);
      bound.apply(port === 65_535 ? 1 : port + 1);
      assert.match(String(bound.advice!.fields['why']), /no listening socket/);
    });
  }

  test('where another socket of the port has the number that was expected, both are set', async (context) => {
    const options = await SocketOptions.load();
    const likelyFile = nextFile();
    const first = createServer().listen(0, '127.0.0.1');
    context.after(() => first.close());
    await once(first, 'listening');
    const { port } = first.address() as AddressInfo;
    const second = createServer().listen(port, '127.0.0.2');
    context.after(() => second.close());
    await once(second, 'listening');
    // Whoever comes first, for whichever of the two.
    const counts = [1, 2].map(() => options.boundUnsent(port, 131_072, likelyFile));
    assert.deepEqual(counts, [1, 2]);
  });
});

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((ends) =>
    ends!.some((end) => end.address === '::1'),
  );
}

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
