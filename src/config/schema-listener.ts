// The schema of one listener: every key under `listeners[]`, its default and range, and the rules
// between its keys. Output is parsed but still under the operator's key names. Used by schema.ts.
import {
  address,
  choice,
  cidr,
  duration,
  filePath,
  filePathOrNone,
  filledList,
  flag,
  integer,
  list,
  name,
  option,
  section,
  size,
} from './leaves.ts';
import { hostPattern } from './schema-route.ts';

// Request headers that uWebSockets.js takes; fixed when it is compiled.
const UWS_HEADER_COUNT = 100;

const listenerTls = section({
  certificates: filledList(
    section({
      cert: filePath().describe('PEM file: the certificate and its chain.'),
      key: filePath().describe('PEM file: its private key, not encrypted.'),
    }),
    'certificate',
  ).describe(
    "The client's SNI picks one; the first is the default. Reloaded when the files change.",
  ),
  minVersion: option(
    choice('TLSv1.2', 'TLSv1.3'),
    'TLSv1.2',
    'Oldest version spoken. TLSv1.2 suites are ECDHE only.',
  ),
  clientCa: option(
    filePathOrNone(),
    '',
    'CA bundle that client certificates must be signed by; empty = none are asked for.',
  ),
});

/** One listener, as the operator writes it. */
export const listener = section({
  name: name()
    .optional()
    .describe('Stands in logs and metrics; listener-1, listener-2 … by position when absent.'),
  address: address(0).describe('Where clients connect. Port 0 lets the system choose one.'),
  protocols: option(
    filledList(choice('http/1.1', 'h2', 'h2c'), 'protocol'),
    ['http/1.1'],
    'http/1.1 alone runs on uWebSockets.js, anything else on node:http2.',
  ),
  engine: option(
    choice('auto', 'uws', 'node'),
    'auto',
    'The HTTP server; auto chooses by what the listener asks for.',
  ),
  limits: option(
    section({
      headerBytes: option(
        size('1KiB', '1MiB'),
        '16KiB',
        'Request line and headers together; beyond: 431.',
      ),
      headerCount: option(integer(1, 10_000), 100, 'Headers of a request; beyond: 431.'),
      bodyBytes: option(
        size('0', '1048576GiB'),
        0,
        'Body of a request; beyond: 413. 0 = unlimited.',
      ),
      idleTimeout: option(
        duration('1s', '24h'),
        '75s',
        'A connection without a request for this long is closed.',
      ),
      headerTimeout: option(
        duration('1s', '24h'),
        '10s',
        'From the connection, or the first byte of a later request, to the end of its headers; also for a TLS handshake.',
      ),
      requestTimeout: option(
        duration('1s', '24h'),
        '60s',
        'From the first to the last byte of a request; beyond: 408.',
      ),
      minBodyRate: option(
        size('0', '1GiB'),
        0,
        'Bytes a second that a request body must bring, over any 5 s; fewer: 408. 0 = any.',
      ),
      connections: option(
        integer(0),
        0,
        'Most connections at a time, over all workers; 0 = unlimited.',
      ),
      connectionsPerAddress: option(
        integer(0, 65_535),
        0,
        'Most connections at a time from one client address (IPv6: one /64), over all workers; 0 = unlimited.',
      ),
      webSocketMessageBytes: option(
        size('1KiB', '1GiB'),
        '1MiB',
        'One message of a WebSocket client; beyond: closed, 1009.',
      ),
      webSocketBacklogBytes: option(
        size('64KiB', '1GiB'),
        '16MiB',
        'What a WebSocket client on the uws engine may be ahead of its endpoint; beyond: closed, 1013.',
      ),
    }),
    {},
    'What one client may take.',
  ),
  trustedProxies: option(
    list(cidr()),
    [],
    "Whose X-Forwarded-* and Forwarded are believed; everyone else's are replaced.",
  ),
  proxyProtocol: option(
    flag(),
    false,
    'Connections begin with a PROXY protocol header, version 1 or 2, and come from trustedProxies, if any are named.',
  ),
  passthrough: option(
    list(
      section({
        hosts: option(
          list(hostPattern),
          [],
          'Names a client may ask for (SNI); empty = any name, and none.',
        ),
        upstream: name().describe('Where its connection goes.'),
      }),
    ),
    [],
    'TLS is not taken off: connections go to upstreams by the name the client asks for, first match wins.',
  ),
  tls: listenerTls.optional().describe('Present: the listener speaks TLS.'),
}).superRefine((value, context) => {
  const add = (key: string, message: string) =>
    context.addIssue({ code: 'custom', path: [key], message });
  if (value.protocols.includes('h2') && value.tls === undefined) {
    add('tls', 'a tls section with protocol h2 (without TLS the protocol is h2c)');
  }
  if (value.protocols.includes('h2c') && value.tls !== undefined) {
    add('protocols', 'h2 in place of h2c on a listener with a tls section');
  }
  if (value.proxyProtocol && value.tls !== undefined && value.address.kind === 'unix') {
    add('proxyProtocol', 'false on a unix socket with a tls section');
  }
  if (value.passthrough.length > 0) {
    if (value.tls !== undefined) add('tls', 'none on a listener with passthrough');
    if (value.protocols.some((protocol) => protocol !== 'http/1.1')) {
      add('protocols', 'none on a listener with passthrough, which speaks no HTTP');
    }
  }
  if (value.engine === 'uws' && needsNodeEngine(value)) {
    add(
      'engine',
      'auto or node (uws serves http/1.1 on tcp, without passthrough, PROXY protocol, client certificates or connectionsPerAddress, up to 100 headers)',
    );
  }
});

/** Whether a listener asks for something that uWebSockets.js does not do, or cannot share between workers. */
export function needsNodeEngine(value: {
  readonly protocols: readonly string[];
  readonly address: { readonly kind: string };
  readonly proxyProtocol: boolean;
  readonly passthrough: readonly unknown[];
  readonly limits: { readonly headerCount: number; readonly connectionsPerAddress: number };
  readonly tls?: { readonly clientCa: string } | undefined;
}): boolean {
  return (
    value.protocols.some((protocol) => protocol !== 'http/1.1') ||
    value.address.kind === 'unix' ||
    value.proxyProtocol ||
    value.passthrough.length > 0 ||
    value.limits.headerCount > UWS_HEADER_COUNT ||
    // Of a connection that closes between two requests it does not say which one it was.
    value.limits.connectionsPerAddress > 0 ||
    // It asks for a certificate and serves those who have none.
    (value.tls !== undefined && value.tls.clientCa !== '')
  );
}
