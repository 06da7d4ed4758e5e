// Which certificate a name gets.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { SecureContext } from 'node:tls';
import { SecureContexts } from '../../../../src/data-plane/node/secure-contexts.ts';
import { selfSigned, writeSelfSigned } from '../../../helpers/self-signed.ts';
import { temporaryFolder } from '../../../helpers/temporary-folder.ts';

function chosen(contexts: SecureContexts, name: string): SecureContext | undefined {
  let answer: SecureContext | undefined;
  contexts.choose(name, (error, context) => {
    assert.equal(error, null);
    answer = context;
  });
  return answer;
}

test('names are compared without case and final dot, a wildcard stands for one label', (context) => {
  const folder = temporaryFolder(context);
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned(['A.example', '*.a.example']));
  const contexts = new SecureContexts({
    certificates: [{ cert: certFile, key: keyFile }],
    minVersion: 'TLSv1.2',
    clientCa: '',
  });
  const own = chosen(contexts, 'a.example');
  assert.notEqual(own, undefined);
  assert.equal(chosen(contexts, 'X.A.EXAMPLE'), own);
  assert.equal(chosen(contexts, 'a.example.'), own);
  assert.equal(chosen(contexts, 'x.x.a.example'), undefined);
  assert.equal(chosen(contexts, 'b.example'), undefined);
});

test('a key of another certificate is refused', (context) => {
  const folder = temporaryFolder(context);
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  writeFileSync(certFile, selfSigned().cert);
  const certificates = [{ cert: certFile, key: keyFile }];
  assert.throws(
    () => new SecureContexts({ certificates, minVersion: 'TLSv1.2', clientCa: '' }),
    /cannot be used: not its key/,
  );
});

test('a name is served by the kind of key that its certificate has', (context) => {
  const pairs = [
    selfSigned(['a.example']),
    selfSigned(['b.example', '*.b.example'], 30, 'RSA'),
    selfSigned(['c.example', 'x.b.example']),
  ];
  const certificates = pairs.map((pair) => {
    const { certFile, keyFile } = writeSelfSigned(temporaryFolder(context), pair);
    return { cert: certFile, key: keyFile };
  });
  const contexts = new SecureContexts({ certificates, minVersion: 'TLSv1.2', clientCa: '' });
  assert.deepEqual(contexts.keyKinds, ['ec', 'rsa']);
  assert.equal(contexts.serverOptions('ec').cert, pairs[0]!.cert);
  assert.equal(contexts.serverOptions('rsa').cert, pairs[1]!.cert);
  for (const [name, kind] of [
    ['', 'ec'],
    ['unknown.example', 'ec'],
    ['b.example', 'rsa'],
    ['B.Example.', 'rsa'],
    ['y.b.example', 'rsa'],
    ['x.b.example', 'ec'],
  ] as const) {
    assert.equal(contexts.keyKindFor(name), kind, name);
  }
});
