// The shapes of traffic that are measured. Each is a request, what must come back for it, and how many
// clients ask for it.

/** One shape of traffic. */
export interface Workload {
  readonly name: string;
  /** For the reports. */
  readonly title: string;
  readonly method: 'GET' | 'POST';
  /** What the backend answers by: /N = N bytes, /hN = N bytes and 20 headers. */
  readonly path: string;
  readonly responseBytes: number;
  readonly requestBodyBytes: number;
  /** Beside Host. */
  readonly requestHeaders: readonly string[];
  readonly connections: number;
  readonly isNewConnection: boolean;
  readonly isTls: boolean;
  /** HTTP/2 with so many requests in flight on a connection; 0 = HTTP/1.1. Over TLS always. */
  readonly streams: number;
  readonly endpoints: number;
  /** Peers that are measured in this workload only: variants that make a difference nowhere else. */
  readonly extraPeers: readonly string[];
}

const SMALL_GET: Workload = {
  name: 'small-get',
  title: 'GET, 512 B',
  method: 'GET',
  path: '/512',
  responseBytes: 512,
  requestBodyBytes: 0,
  requestHeaders: ['User-Agent: loadgen', 'Accept: */*'],
  connections: 64,
  isNewConnection: false,
  isTls: false,
  streams: 0,
  endpoints: 2,
  extraPeers: [],
};

/** 20 request headers with Host, of the names and sizes a browser behind a CDN sends. */
const TWENTY_HEADERS = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.7,de;q=0.3',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Referer: https://www.example.com/some/page?with=query',
  'Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1',
  'Authorization: Bearer c9f0f895fb98ab9159f51fd0297e236d.45c48cce2e2d7fbdea1afc51c7c6ad26',
  'Cache-Control: max-age=0',
  'Pragma: no-cache',
  'DNT: 1',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-User: ?1',
  'If-None-Match: "d3d9446802a44259755d38e6d163e820"',
  'X-Request-Id: 6512bd43-d9ca-4a6e-8c1f-c20ad4d76fe9',
  'X-Device: desktop',
  'X-Experiment: checkout-b',
  'Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
];

/** All workloads, in the order of the reports. */
export const WORKLOADS: readonly Workload[] = [
  { ...SMALL_GET, extraPeers: ['millrace-auto-2', 'nginx-2', 'fast-proxy-undici'] },
  {
    ...SMALL_GET,
    name: 'headers',
    title: 'GET with 20 headers each way, 4 KiB',
    path: '/h4096',
    responseBytes: 4096,
    requestHeaders: TWENTY_HEADERS,
  },
  {
    ...SMALL_GET,
    name: 'body-64k',
    title: 'GET, 64 KiB',
    path: '/65536',
    responseBytes: 65_536,
    extraPeers: ['nginx-buffers'],
  },
  {
    ...SMALL_GET,
    name: 'body-1m',
    title: 'GET, 1 MiB',
    path: '/1048576',
    responseBytes: 1_048_576,
    extraPeers: ['nginx-buffers'],
  },
  { ...SMALL_GET, name: 'post', title: 'POST, 4 KiB', method: 'POST', requestBodyBytes: 4096 },
  {
    ...SMALL_GET,
    name: 'new-connection',
    title: 'GET, 512 B, a new connection each',
    isNewConnection: true,
  },
  {
    ...SMALL_GET,
    name: 'connections-1000',
    title: 'GET, 512 B, 1,000 connections',
    connections: 1000,
    extraPeers: ['millrace-auto-2'],
  },
  {
    ...SMALL_GET,
    name: 'endpoints-32',
    title: 'GET, 512 B, 32 endpoints',
    endpoints: 32,
    extraPeers: ['millrace-wire-few'],
  },
  { ...SMALL_GET, name: 'tls', title: 'GET, 512 B, TLS 1.3 to clients', isTls: true },
  {
    ...SMALL_GET,
    name: 'http2',
    title: 'GET, 512 B, HTTP/2 to clients, 8 streams a connection',
    connections: 16,
    isTls: true,
    streams: 8,
  },
];
