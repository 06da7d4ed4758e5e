// A TLS listener's certificates: read from their files, by the names they are for, and read again when a file
// changes. Shared by both listener engines; runs on a worker thread, off the request path.
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { ListenerTlsConfig } from '../config/config.ts';
import type { WorkerLog } from './listener.ts';

/** Suites of TLS 1.2: ephemeral keys and AEAD only. Source: Mozilla's intermediate configuration, less DHE. */
export const TLS_1_2_CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:' +
  'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:' +
  'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';
/** Suites of TLS 1.3: all that OpenSSL has on by default. */
export const TLS_1_3_CIPHERS =
  'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** Elliptic curves of the key exchange; uWebSockets.js has the same. */
export const KEY_EXCHANGES = 'X25519:prime256v1:secp384r1';

/** How often the files are looked at. */
const WATCH_MS = 1_000;

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** DNS names it is for, lower case, `*.example.com` among them. */
  readonly names: readonly string[];
}

/** Reads a listener's certificates. @throws Error that names the file when one cannot be used. */
export function readCertificates(tls: ListenerTlsConfig): readonly Certificate[] {
  return tls.certificates.map(({ cert: certFile, key: keyFile }) => {
    const cert = readFileSync(certFile, 'utf8');
    const key = readFileSync(keyFile, 'utf8');
    try {
      const certificate = new X509Certificate(cert);
      if (!certificate.checkPrivateKey(createPrivateKey(key))) throw new Error('not its key');
      // Reads the rest of the chain, too. uWS says nothing about one that it cannot read: the names would be gone.
      createSecureContext({ cert, key });
      return { certFile, keyFile, cert, key, names: namesOf(certificate) };
    } catch (cause) {
      throw new Error(`${certFile} and ${keyFile} cannot be used: ${messageOf(cause)}`, { cause });
    }
  });
}

/** The first certificate of the list that is for each name. */
export function byName(certificates: readonly Certificate[]): Map<string, Certificate> {
  const named = new Map<string, Certificate>();
  for (const certificate of certificates) {
    for (const name of certificate.names) if (!named.has(name)) named.set(name, certificate);
  }
  return named;
}

/** A client's spelling of a server's name as certificates have it: lower case, without the final dot of DNS. */
export function plainName(serverName: string): string {
  const name = serverName.toLowerCase();
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/** The wildcard that stands for a name: it replaces one label. */
export function wildcardFor(name: string): string {
  return '*' + name.slice(name.indexOf('.'));
}

function namesOf(certificate: X509Certificate): string[] {
  const entries = (certificate.subjectAltName ?? '').split(', ');
  return entries
    .filter((entry) => entry.startsWith('DNS:'))
    .map((entry) => entry.slice('DNS:'.length).toLowerCase());
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Runs a listener's reload and says how it went. What cannot be used leaves the old certificates in use. */
export function reloadCertificates(listener: string, log: WorkerLog, reload: () => void): void {
  try {
    reload();
    log('info', 'certificates were read again', { listener });
  } catch (cause) {
    log('warn', 'the old certificates stay in use', { listener, reason: messageOf(cause) });
  }
}

/** Watches the files of a TLS section. They are compared by what the file system says: no file is read for it. */
export class CertificateWatch {
  private readonly files: readonly string[];
  private readonly onChange: () => void;
  private seen: string | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isLooking = false;

  constructor(tls: ListenerTlsConfig, onChange: () => void) {
    const files = tls.certificates.flatMap(({ cert, key }) => [cert, key]);
    this.files = tls.clientCa === '' ? files : [...files, tls.clientCa];
    this.onChange = onChange;
  }

  start(): void {
    void this.look();
    this.timer = setInterval(() => void this.look(), WATCH_MS);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    const marks = await Promise.all(this.files.map(markOf));
    this.isLooking = false;
    if (this.timer === null) return;
    const now = marks.join(' ');
    const isChanged = this.seen !== null && this.seen !== now;
    this.seen = now;
    if (isChanged) this.onChange();
  }
}

/** Changes when the file does, also when another takes its place under the same name. */
async function markOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(file, { bigint: true });
    return `${ino}/${size}/${mtimeNs}`;
  } catch {
    return 'none';
  }
}
