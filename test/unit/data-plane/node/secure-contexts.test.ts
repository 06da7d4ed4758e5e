// Which certificate a name gets, and that files which cannot be used change nothing.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

test('names are compared without case, a wildcard stands for one label', (context) => {
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
  assert.equal(chosen(contexts, 'x.x.a.example'), undefined);
  assert.equal(chosen(contexts, 'b.example'), undefined);
});

test('a reload with a key of another certificate throws and changes nothing', (context) => {
  const folder = temporaryFolder(context);
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  const contexts = new SecureContexts({
    certificates: [{ cert: certFile, key: keyFile }],
    minVersion: 'TLSv1.2',
    clientCa: '',
  });
  const own = chosen(contexts, 'localhost');
  const { cert } = contexts.serverOptions;
  const next = selfSigned();
  writeFileSync(join(folder, 'cert.pem'), next.cert);
  assert.throws(() => contexts.reload(), /cannot be used: not its key/);
  assert.equal(chosen(contexts, 'localhost'), own);
  assert.equal(contexts.serverOptions.cert, cert);
  writeFileSync(join(folder, 'key.pem'), next.key);
  contexts.reload();
  assert.notEqual(chosen(contexts, 'localhost'), own);
  assert.equal(contexts.serverOptions.cert, next.cert);
});
