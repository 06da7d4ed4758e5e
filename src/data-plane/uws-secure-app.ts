// A TLS app of uWebSockets.js with all of a listener's certificates. Used by uws-listener.ts, at the start and for each
// change of the files. Client certificates are the other engine's: uWS lets in who shows none.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type AppOptions, SSLApp, type TemplatedApp } from 'uWebSockets.js';
import { unusableOnUws } from '../config/certificate-keys.ts';
import type { ListenerTlsConfig } from '../config/config.ts';
import {
  byName,
  type Certificate,
  plainName,
  readCertificates,
  TLS_1_2_CIPHERS,
  wildcardFor,
} from './tls-certificates.ts';

/**
 * uWS has no option for the oldest version. Of this suite of TLS 1.2 a handshake cannot come: it wants a key that
 * both sides have beforehand. TLS 1.3's suites are not in this list, so they stay.
 */
const NO_TLS_1_2 = 'ECDHE-PSK-AES128-CBC-SHA';

/**
 * Other spellings of names that are learnt, an app. Each takes some 9 KiB and two lines of uWS on standard output, for
 * as long as the app lives: clients choose the spelling, and uWS's removeServerName crashes.
 */
const SPELLINGS_MAX = 256;

/**
 * @param serve says what is done with requests, for the app and for each name.
 * @throws Error when a certificate cannot be used.
 */
export function openSecureApp(
  tls: ListenerTlsConfig,
  serve: (app: TemplatedApp) => TemplatedApp,
): TemplatedApp {
  // Read here for their names, and because uWS says nothing about what it does not like.
  const certificates = readCertificates(tls);
  for (const certificate of certificates) assertUsable(certificate);
  const [first] = certificates;
  const app = serve(SSLApp(optionsOf(first!, tls)));
  const named = byName(certificates);
  const add = (name: string, certificate: Certificate): void => {
    app.addServerName(name, optionsOf(certificate, tls));
    serve(app.domain(name));
  };
  for (const [name, certificate] of named) {
    if (certificate === first && !isShadowed(name, certificates)) continue;
    add(name, certificate);
  }
  let spellings = 0;
  // uWS compares names by case. It asks in the middle of a handshake, looks again, and goes on with what it finds then.
  app.missingServerName((spelling) => {
    const name = plainName(spelling);
    const certificate = named.get(name) ?? named.get(wildcardFor(name));
    if (certificate === undefined || certificate === first) return;
    if (spellings === SPELLINGS_MAX || !isOnDisk(certificate)) return;
    spellings++;
    add(spelling, certificate);
  });
  return app;
}

/** @throws Error for a certificate with a key that uWS would drop in silence. */
function assertUsable({ certFile, cert }: Certificate): void {
  const kind = unusableOnUws(new X509Certificate(cert));
  if (kind !== '')
    throw new Error(`${certFile} cannot be used: uWebSockets.js takes no ${kind} keys`);
}

/** Whether the files are still those that were read: uWS reads them anew. */
function isOnDisk({ certFile, keyFile, cert, key }: Certificate): boolean {
  try {
    return readFileSync(certFile, 'utf8') === cert && readFileSync(keyFile, 'utf8') === key;
  } catch {
    return false;
  }
}

/** Whether a name of the first certificate would be taken for another's wildcard. */
function isShadowed(name: string, certificates: readonly Certificate[]): boolean {
  const wildcard = wildcardFor(name);
  return certificates.some((other, index) => index > 0 && other.names.includes(wildcard));
}

function optionsOf(certificate: Certificate, tls: ListenerTlsConfig): AppOptions {
  return {
    cert_file_name: certificate.certFile,
    key_file_name: certificate.keyFile,
    ssl_ciphers: tls.minVersion === 'TLSv1.3' ? NO_TLS_1_2 : TLS_1_2_CIPHERS,
  };
}
