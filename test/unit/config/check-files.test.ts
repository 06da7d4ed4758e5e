// Certificate, key and CA files: good ones pass, each way to be broken is one problem at its path.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkFiles } from '../../../src/config/check-files.ts';
import { loadConfig, readConfig } from '../../../src/config/load.ts';
import { selfSigned } from '../../helpers/self-signed.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const ONE = selfSigned();
const TWO = selfSigned();
const FILES = {
  'one.pem': `${ONE.cert}${TWO.cert}`,
  'one.key': ONE.key,
  'two.key': TWO.key,
  'broken.pem': ONE.cert.replace('MII', 'XXX'),
  'text.pem': 'no certificate\n',
};

function configText(listenerTls: string, upstreamTls: string): string {
  return `listeners:
  - address: 127.0.0.1:0
    tls: ${listenerTls}
upstreams:
  api:
    endpoints: [127.0.0.1:9001]
    tls: ${upstreamTls}
`;
}

test('finds nothing wrong with readable files that fit together', (context) => {
  const folder = temporaryFolder(context, {
    ...FILES,
    'a.yaml': configText(
      '{ certificates: [{ cert: one.pem, key: one.key }], clientCa: one.pem }',
      '{ ca: one.pem, cert: one.pem, key: one.key }',
    ),
    'plain.yaml': configText('', '{}'),
  });
  assert.deepEqual(checkFiles(loadConfig(join(folder, 'a.yaml'), {})), []);
  assert.deepEqual(checkFiles(loadConfig(join(folder, 'plain.yaml'), {})), []);
});

test('reports every broken file with its path and line', (context) => {
  const folder = temporaryFolder(context, {
    ...FILES,
    'a.yaml': configText(
      `
      certificates:
        - { cert: none.pem, key: one.key }
        - { cert: text.pem, key: text.pem }
        - { cert: one.pem, key: two.key }
        - { cert: broken.pem, key: one.key }
      clientCa: text.pem`,
      '{ ca: none.pem }',
    ),
  });
  const { config, lineOf } = readConfig(join(folder, 'a.yaml'), {});
  assert.deepEqual(
    checkFiles(config, lineOf).map(({ path, line, expected }) => [path, line, expected]),
    [
      ['listeners[0].tls.certificates[0].cert', 5, 'a readable file'],
      ['listeners[0].tls.certificates[1].cert', 6, 'a PEM certificate'],
      ['listeners[0].tls.certificates[1].key', 6, 'a PEM private key that is not encrypted'],
      ['listeners[0].tls.certificates[2].key', 7, `the private key of ${join(folder, 'one.pem')}`],
      ['listeners[0].tls.certificates[3].cert', 8, 'a PEM certificate'],
      ['listeners[0].tls.clientCa', 9, 'a PEM certificate'],
      ['upstreams.api.tls.ca', 13, 'a readable file'],
    ],
  );
});

test('reports a key that uWebSockets.js would drop in silence, on that engine', (context) => {
  const odd = selfSigned([], 30, 'secp256k1');
  const folder = temporaryFolder(context, {
    'odd.pem': odd.cert,
    'odd.key': odd.key,
    'uws.yaml': configText('{ certificates: [{ cert: odd.pem, key: odd.key }] }', ''),
    'node.yaml': configText(
      '{ certificates: [{ cert: odd.pem, key: odd.key }] }\n    engine: node',
      '',
    ),
  });
  const { config, lineOf } = readConfig(join(folder, 'uws.yaml'), {});
  assert.deepEqual(checkFiles(config, lineOf), [
    {
      path: 'listeners[0].tls.certificates[0].cert',
      line: 3,
      expected: 'an RSA, Ed25519, P-256, P-384 or P-521 key, or engine: node',
      found: `one of kind secp256k1 in ${join(folder, 'odd.pem')}`,
    },
  ]);
  assert.deepEqual(checkFiles(loadConfig(join(folder, 'node.yaml'), {})), []);
});
