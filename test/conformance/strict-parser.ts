// Reads requests exactly as RFC 9112 writes them and nothing else: no leniency at all. It judges both ends: what a
// client sent, and what reached the backend. It shares no code with the proxy.

export interface StrictRequest {
  readonly method: string;
  readonly target: string;
  /** Names in lower case, values without the space around them, in order. */
  readonly headers: readonly (readonly [string, string])[];
  /** Chunked framing removed. */
  readonly body: string;
}

export type Parsed =
  | { readonly kind: 'request'; readonly request: StrictRequest; readonly end: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly why: string };

const INCOMPLETE: Parsed = { kind: 'incomplete' };
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e]+) HTTP/1\\.1$`);
const FIELD_LINE = new RegExp(`^(${TOKEN}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*)$`);
const CHUNK_LINE = /^([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;
const HOST = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?$/;

const bad = (why: string): Parsed => ({ kind: 'bad', why });

/** Reads one request. @param text latin1. @param start where it begins. */
export function parseRequest(text: string, start: number): Parsed {
  const headEnd = text.indexOf('\r\n\r\n', start);
  if (headEnd < 0) return INCOMPLETE;
  const [requestLine, ...lines] = text.slice(start, headEnd).split('\r\n');
  const [, method, target] = REQUEST_LINE.exec(requestLine!) ?? [];
  if (method === undefined || target === undefined) return bad('request line');
  const isTargetGood =
    (target.startsWith('/') && !target.includes('#') && method !== 'CONNECT') ||
    (target === '*' && method === 'OPTIONS') ||
    /^https?:\/\/[^/?#]+[^#]*$/.test(target);
  if (!isTargetGood) return bad('target');
  const headers: [string, string][] = [];
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return bad('field line');
    headers.push([name.toLowerCase(), value.replace(/[ \t]+$/, '')]);
  }
  const hosts = valuesOf(headers, 'host');
  if (hosts.length !== 1 || !HOST.test(hosts[0]!)) return bad('Host');
  const codings = valuesOf(headers, 'transfer-encoding');
  const lengths = valuesOf(headers, 'content-length');
  const bodyStart = headEnd + 4;
  if (codings.length > 0) {
    if (lengths.length > 0) return bad('both framings');
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked')
      return bad('transfer coding');
    const body = readChunks(text, bodyStart);
    if ('kind' in body) return body;
    return {
      kind: 'request',
      request: { method, target, headers, body: body.text },
      end: body.end,
    };
  }
  if (lengths.length > 1 || (lengths.length === 1 && !/^[0-9]{1,15}$/.test(lengths[0]!))) {
    return bad('Content-Length');
  }
  const end = bodyStart + Number(lengths[0] ?? 0);
  if (end > text.length) return INCOMPLETE;
  return {
    kind: 'request',
    request: { method, target, headers, body: text.slice(bodyStart, end) },
    end,
  };
}

/** All requests up to the first that is incomplete or bad. @param text latin1. */
export function parseRequests(text: string): StrictRequest[] {
  const requests: StrictRequest[] = [];
  let position = 0;
  for (;;) {
    const parsed = parseRequest(text, position);
    if (parsed.kind !== 'request') return requests;
    requests.push(parsed.request);
    position = parsed.end;
  }
}

function readChunks(text: string, start: number): { text: string; end: number } | Parsed {
  let body = '';
  let position = start;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', position);
    if (lineEnd < 0) return INCOMPLETE;
    const [, digits] = CHUNK_LINE.exec(text.slice(position, lineEnd)) ?? [];
    if (digits === undefined) return bad('chunk size');
    const size = Number.parseInt(digits, 16);
    position = lineEnd + 2;
    if (size === 0) break;
    if (position + size + 2 > text.length) return INCOMPLETE;
    if (text.slice(position + size, position + size + 2) !== '\r\n') return bad('chunk end');
    body += text.slice(position, position + size);
    position += size + 2;
  }
  for (;;) {
    const lineEnd = text.indexOf('\r\n', position);
    if (lineEnd < 0) return INCOMPLETE;
    if (lineEnd === position) return { text: body, end: position + 2 };
    if (!FIELD_LINE.test(text.slice(position, lineEnd))) return bad('trailer');
    position = lineEnd + 2;
  }
}

function valuesOf(headers: readonly (readonly [string, string])[], name: string): string[] {
  return headers.filter(([each]) => each === name).map(([, value]) => value);
}
