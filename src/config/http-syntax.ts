// What may stand in an HTTP message by way of the configuration: names, values, hosts, paths. Nothing
// that these refuse can reach a socket, so no configuration can split a message or break its framing.
import { isHostName, parseAddress } from './address.ts';

// The proxy writes these itself: set by hand they would break the framing or the connection (RFC 9110 §7.6.1).
const FRAMING_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  // The one header every request must have: rewrite.host changes it.
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** RFC 9110 §5.6.2 token: a header's name, a method, a cookie's name. */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/.test(text);
}

/** Whether a configuration may set or remove the header (any case). */
export function isSettableHeader(name: string): boolean {
  return isToken(name) && !FRAMING_HEADERS.has(name.toLowerCase());
}

// Of one hop, or written by the proxy alone: no condition or key can be read from them.
const HOP_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-port',
  'x-real-ip',
]);

/** Whether a route's condition or a request key may look at the header (any case). */
export function isReadableHeader(name: string): boolean {
  return isToken(name) && !HOP_HEADERS.has(name.toLowerCase());
}

/** Printable ASCII, inner spaces and tabs: what every HTTP version carries unchanged. */
export function isHeaderValue(text: string): boolean {
  return /^(?:[!-~](?:[\t -~]*[!-~])?)?$/.test(text);
}

/** A lower-case host a route may match: a name, `*.` before a name, an IPv4 address or `[v6]`. */
export function isHostPattern(text: string): boolean {
  if (text.startsWith('[')) return parseAddress(`${text}:1`, 1) !== undefined;
  return isHostName(text.startsWith('*.') ? text.slice(2) : text);
}

/** A literal for the Host header: a host, with a port or without. */
export function isHostHeader(text: string): boolean {
  const lower = text.toLowerCase();
  return parseAddress(`${lower}:1`, 1)?.kind === 'tcp' || parseAddress(lower, 1)?.kind === 'tcp';
}

/** `/` and visible ASCII without `?` and `#`: an absolute path as it stands in a request line. */
export function isPath(text: string): boolean {
  return /^\/[!"$->@-~]*$/.test(text);
}

/** `*`, `/exact` or `/prefix/*`: a star stands only after the last slash. */
export function isPathPattern(text: string): boolean {
  if (text === '*') return true;
  const fixed = text.endsWith('/*') ? text.slice(0, -1) : text;
  return isPath(fixed) && !fixed.includes('*');
}

/** A request target a probe may ask for: a path, with a query or without. */
export function isRequestTarget(text: string): boolean {
  return /^\/[!"$-~]*$/.test(text);
}
