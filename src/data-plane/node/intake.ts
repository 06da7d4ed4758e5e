// What both of Node's servers do with a request before its exchange begins: read it, check it against the
// listener's limits, and say who the client is. One a listener; its reader holds one request at a time.
import type { Socket } from 'node:net';
import { addressBytes } from '../../config/address.ts';
import type { ListenerConfig } from '../../config/config.ts';
import type { ExchangeErrorCode } from '../../errors.ts';
import { addressText, Forwarding } from '../forwarded.ts';
import { HTTP_2, type RawRequest, RequestReader } from '../request-reader.ts';
import type { ProxyHeader } from './proxy-protocol.ts';
import type { WorkerContext } from '../worker-context.ts';

/** What a field counts beside its name and value, by the measure that HTTP/2 clients are told. Source: RFC 9113 § 6.5.2. */
const FIELD_REST_BYTES = 32;

/** The two ends of a client's connection. */
export interface Peer {
  /** The client's address, 4 or 16 bytes; none on a unix socket. */
  readonly bytes: Uint8Array;
  /** The same as text; '' on a unix socket. */
  readonly client: string;
  /** Where it connected to, as a Host header would name it. */
  readonly localHost: string;
}

export function peerOf(socket: Socket): Peer {
  // A link-local address comes with the interface it is on, and is an address all the same.
  const remote = socket.remoteAddress?.replace(/%.*$/, '') ?? '';
  const bytes = Uint8Array.from(addressBytes(remote) ?? []);
  const local = socket.localAddress;
  const host = local?.includes(':') === true ? `[${local}]` : local;
  return {
    bytes,
    client: addressText(bytes),
    localHost: host === undefined ? 'localhost' : `${host}:${socket.localPort}`,
  };
}

/** As the PROXY protocol's header says. */
export function proxiedPeer({ source, destination }: NonNullable<ProxyHeader['ends']>): Peer {
  const host = addressText(destination.bytes);
  return {
    bytes: source.bytes,
    client: addressText(source.bytes),
    localHost: `${host.includes(':') ? `[${host}]` : host}:${destination.port}`,
  };
}

/** Bytes of an HTTP/2 field section, unpacked. @param pairs name, value, name, value … with pseudo-headers. */
export function sectionBytes(pairs: readonly string[]): number {
  let bytes = (pairs.length / 2) * FIELD_REST_BYTES;
  for (const text of pairs) bytes += text.length;
  return bytes;
}

export class Intake {
  readonly config: ListenerConfig;
  readonly context: WorkerContext;
  /** The request of the last read(). */
  readonly reader: RequestReader = new RequestReader();
  private readonly forwarding: Forwarding;

  constructor(config: ListenerConfig, context: WorkerContext) {
    this.config = config;
    this.context = context;
    this.reader.messageBytesMax = config.limits.webSocketMessageBytes;
    this.forwarding = new Forwarding(config.trustedProxies, config.tls === null ? 'http' : 'https');
  }

  /** @returns '' or the error to answer with. */
  read(request: RawRequest): ExchangeErrorCode | '' {
    const { headerBytes, headerCount, bodyBytes } = this.config.limits;
    // Node holds an HTTP/2 client to the limit only when it has acknowledged our SETTINGS, which it need never do. Of
    // HTTP/1 its parser has counted the bytes.
    const isHttp2 = request.version === HTTP_2;
    if (isHttp2 && sectionBytes(request.rawHeaders) > headerBytes) return 'header-limit';
    const refusal = this.reader.readRaw(request, headerCount);
    if (refusal !== '') return refusal;
    return bodyBytes > 0 && this.reader.bodyLength > bodyBytes ? 'body-limit' : '';
  }

  /** The forwarding header lines of the request just read; says in it who the client is. */
  forwardingFor(peer: Peer): string {
    const { reader, forwarding } = this;
    const origin = forwarding.originOf(peer.bytes);
    reader.clientAddress = forwarding.clientOf(reader.forwardedFor, origin);
    return forwarding.block(reader, origin, reader.host);
  }
}
