// The TLS side of a listener on Node's servers: one secure context a certificate, chosen by the name the client asks
// for. Replaced as a whole when the files change; open connections keep what they were opened with.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import type { ListenerTlsConfig } from '../../config/config.ts';
import {
  byName,
  KEY_EXCHANGES,
  type Certificate,
  readCertificates,
  TLS_1_2_CIPHERS,
  TLS_1_3_CIPHERS,
} from '../tls-certificates.ts';

export class SecureContexts {
  private readonly tls: ListenerTlsConfig;
  private named: Map<string, SecureContext> = new Map();
  private first: TlsOptions = {};

  /** @throws Error when a certificate cannot be used. */
  constructor(tls: ListenerTlsConfig) {
    this.tls = tls;
    this.reload();
  }

  /** Reads the files again; nothing changes when one cannot be used. @throws Error in that case. */
  reload(): void {
    const certificates = readCertificates(this.tls);
    const ca = this.tls.clientCa === '' ? null : readFileSync(this.tls.clientCa, 'utf8');
    const options = certificates.map((certificate) => this.optionsOf(certificate, ca));
    const contexts = options.map((entry) => createSecureContext(entry));
    const named = new Map<string, SecureContext>();
    for (const [name, certificate] of byName(certificates)) {
      named.set(name, contexts[certificates.indexOf(certificate)]!);
    }
    this.named = named;
    this.first = options[0]!;
  }

  /** For the server itself: the first certificate is for clients that name nobody we know. */
  get serverOptions(): TlsOptions {
    return this.first;
  }

  /** As tls.createServer's SNICallback; an undefined context is the server's own. */
  readonly choose = (
    serverName: string,
    done: (error: Error | null, context?: SecureContext) => void,
  ): void => {
    const name = serverName.toLowerCase();
    done(null, this.named.get(name) ?? this.named.get('*' + name.slice(name.indexOf('.'))));
  };

  private optionsOf(certificate: Certificate, ca: string | null): TlsOptions {
    return {
      cert: certificate.cert,
      key: certificate.key,
      minVersion: this.tls.minVersion,
      ciphers: `${TLS_1_3_CIPHERS}:${TLS_1_2_CIPHERS}`,
      honorCipherOrder: true,
      // A client of TLS 1.2 could ask for handshake after handshake on one connection; HTTP/2 forbids it. RFC 9113 § 9.2.1.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      // OpenSSL's own list has finite-field groups, too.
      ecdhCurve: KEY_EXCHANGES,
      ...(ca === null ? {} : { ca }),
    };
  }
}
