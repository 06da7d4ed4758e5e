// Which kinds of key each listener engine can serve with. Asked when a configuration is checked, and again on a worker
// when a certificate is renewed.
import type { X509Certificate } from 'node:crypto';

/** What uWebSockets.js's BoringSSL takes, of elliptic curves by curve, as OpenSSL calls them. It drops others in silence. */
const UWS_KEY_KINDS: ReadonlySet<string> = new Set([
  'rsa',
  'ed25519',
  'prime256v1',
  'secp384r1',
  'secp521r1',
]);

/** @returns the kind of key that the uws engine cannot use, such as `rsa-pss` or `secp256k1`; '' when it can. */
export function unusableOnUws({ publicKey }: X509Certificate): string {
  const { asymmetricKeyType = '', asymmetricKeyDetails } = publicKey;
  const kind = asymmetricKeyDetails?.namedCurve ?? asymmetricKeyType;
  return UWS_KEY_KINDS.has(kind) ? '' : kind;
}
