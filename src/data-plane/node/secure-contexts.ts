// A listener's certificates as Node's servers take them: one secure context a certificate, chosen by the name the
// client asks for. Read once; when the files change, another one takes its place (secure-servers.ts).
import { constants, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import type { ListenerTlsConfig } from '../../config/config.ts';
import {
  byName,
  KEY_EXCHANGES,
  type Certificate,
  plainName,
  readCertificates,
  TLS_1_2_CIPHERS,
  TLS_1_3_CIPHERS,
  wildcardFor,
} from '../tls-certificates.ts';

/** One certificate, ready for use. */
interface Entry {
  readonly options: TlsOptions;
  readonly context: SecureContext;
  readonly keyKind: string;
}

export class SecureContexts {
  /** Kinds of the certificates' keys (`ec`, `rsa` …), the first certificate's first. */
  readonly keyKinds: readonly string[];
  private readonly entries: readonly Entry[];
  private readonly named: ReadonlyMap<string, Entry>;

  /** @throws Error when a certificate cannot be used. */
  constructor(tls: ListenerTlsConfig) {
    const certificates = readCertificates(tls);
    const ca = tls.clientCa === '' ? null : readFileSync(tls.clientCa, 'utf8');
    this.entries = certificates.map((certificate) => {
      const options = optionsOf(certificate, tls, ca);
      const context = createSecureContext(options);
      const keyKind = new X509Certificate(certificate.cert).publicKey.asymmetricKeyType!;
      return { options, context, keyKind };
    });
    this.keyKinds = [...new Set(this.entries.map(({ keyKind }) => keyKind))];
    const named = new Map<string, Entry>();
    for (const [name, certificate] of byName(certificates)) {
      named.set(name, this.entries[certificates.indexOf(certificate)]!);
    }
    this.named = named;
  }

  /** For a server itself: the first certificate with a key of that kind. */
  serverOptions(keyKind: string): TlsOptions {
    return this.entries.find((entry) => entry.keyKind === keyKind)!.options;
  }

  /** Kind of the key that serves a name; a name that no certificate has is served by the first one. */
  keyKindFor(serverName: string): string {
    return this.find(serverName)?.keyKind ?? this.keyKinds[0]!;
  }

  /** As tls.createServer's SNICallback; an undefined context is the server's own. */
  readonly choose = (
    serverName: string,
    done: (error: Error | null, context?: SecureContext) => void,
  ): void => {
    done(null, this.find(serverName)?.context);
  };

  private find(serverName: string): Entry | undefined {
    const name = plainName(serverName);
    return this.named.get(name) ?? this.named.get(wildcardFor(name));
  }
}

function optionsOf(
  certificate: Certificate,
  tls: ListenerTlsConfig,
  ca: string | null,
): TlsOptions {
  return {
    cert: certificate.cert,
    key: certificate.key,
    minVersion: tls.minVersion,
    ciphers: `${TLS_1_3_CIPHERS}:${TLS_1_2_CIPHERS}`,
    honorCipherOrder: true,
    // A client of TLS 1.2 could ask for handshake after handshake on one connection; HTTP/2 forbids it. RFC 9113 § 9.2.1.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    // OpenSSL's own list has finite-field groups, too.
    ecdhCurve: KEY_EXCHANGES,
    ...(ca === null ? {} : { ca }),
  };
}
