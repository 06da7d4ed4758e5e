// A certificate made on the spot for tests: EC or RSA, signed by itself, valid for localhost and 127.0.0.1. Written
// as DER by hand, since node can read certificates but not make them and tests ask for no openssl binary.
// Sources: RFC 5280 § 4.1, RFC 4055 § 5.
import { createSign, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SelfSigned {
  /** PEM, and the CA to trust it by. */
  readonly cert: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

/** P-256 and secp256k1 are elliptic curves; RSA has 2048 bits. */
export type KeyKind = 'P-256' | 'secp256k1' | 'RSA';

const SEQUENCE = 0x30;
const SET = 0x31;
const OID_ECDSA_SHA256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/** With its parameters, which are NULL. */
const RSA_SHA256 = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
const OID_COMMON_NAME = [0x06, 0x03, 0x55, 0x04, 0x03];
const OID_SUBJECT_ALT_NAME = [0x06, 0x03, 0x55, 0x1d, 0x11];
const OID_BASIC_CONSTRAINTS = [0x06, 0x03, 0x55, 0x1d, 0x13];

/** @param names DNS names beside localhost and 127.0.0.1. @param days from yesterday; negative: expired. */
export function selfSigned(
  names: readonly string[] = [],
  days = 30,
  kind: KeyKind = 'P-256',
): SelfSigned {
  const { privateKey, publicKey } = makeKeys(kind);
  const algorithm = der(SEQUENCE, Buffer.from(kind === 'RSA' ? RSA_SHA256 : OID_ECDSA_SHA256));
  const name = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, Buffer.from(OID_COMMON_NAME), der(0x0c, Buffer.from('localhost')))),
  );
  const altNames = der(
    SEQUENCE,
    ...['localhost', ...names].map((dns) => der(0x82, Buffer.from(dns))),
    der(0x87, Buffer.from([127, 0, 0, 1])),
  );
  const isCa = der(SEQUENCE, der(0x01, Buffer.from([0xff])));
  const extensions = der(
    0xa3,
    der(
      SEQUENCE,
      der(SEQUENCE, Buffer.from(OID_SUBJECT_ALT_NAME), der(0x04, altNames)),
      der(SEQUENCE, Buffer.from(OID_BASIC_CONSTRAINTS), der(0x04, isCa)),
    ),
  );
  const dayMs = 86_400_000;
  const from = Date.now() - dayMs;
  const start = Math.min(from, from + days * dayMs);
  const body = der(
    SEQUENCE,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name,
    der(SEQUENCE, utcTime(start), utcTime(days < 0 ? from : from + days * dayMs)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = createSign('sha256').update(body).sign(privateKey);
  const certificate = der(SEQUENCE, body, algorithm, der(0x03, Buffer.from([0]), signature));
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function makeKeys(kind: KeyKind): {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
} {
  return kind === 'RSA'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: kind });
}

/** Writes a pair as files. @returns their paths. */
export function writeSelfSigned(
  folder: string,
  pair: SelfSigned,
): { readonly certFile: string; readonly keyFile: string } {
  const certFile = join(folder, 'cert.pem');
  const keyFile = join(folder, 'key.pem');
  writeFileSync(certFile, pair.cert);
  writeFileSync(keyFile, pair.key, { mode: 0o600 });
  return { certFile, keyFile };
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length: number[] = [];
  if (content.length < 0x80) length.push(content.length);
  else if (content.length < 0x100) length.push(0x81, content.length);
  else length.push(0x82, content.length >> 8, content.length & 0xff);
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function utcTime(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}
