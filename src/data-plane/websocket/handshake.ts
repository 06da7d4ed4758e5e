// The opening handshake of a WebSocket: what a client must have asked, what an endpoint must have answered. Malformed
// ones are refused on both sides, because what follows them is not HTTP any more. Source: RFC 6455 § 4. On a worker thread.
import { createHash } from 'node:crypto';
import type { ExchangeErrorCode } from '../../errors.ts';

/** The only version there is. */
export const WEBSOCKET_VERSION = '13';
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Headers of a handshake that speak of one connection only. */
const CONNECTION_FIELDS = /^sec-websocket-(?:accept|extensions|protocol|version):/i;

/** Whether an Upgrade header names WebSocket, alone or in a list. */
export function namesWebSocket(upgrade: string): boolean {
  return upgrade.split(',').some((entry) => entry.trim().toLowerCase() === 'websocket');
}

/**
 * @param block `name: value\r\n` lines, names in lower case.
 * @returns '' or why the handshake is refused.
 */
export function refusalOfHandshake(
  method: string,
  block: string,
  hasBody: boolean,
): ExchangeErrorCode | '' {
  if (method !== 'GET' || hasBody) return 'bad-request';
  const versions = valuesOf(block, 'sec-websocket-version');
  if (versions.length !== 1 || versions[0] !== WEBSOCKET_VERSION) return 'upgrade-required';
  const keys = valuesOf(block, 'sec-websocket-key');
  return keys.length === 1 && KEY.test(keys[0]!) ? '' : 'bad-request';
}

/** All values of a header. @param block lines as in UpstreamRequest or UpstreamHead. */
export function valuesOf(block: string, name: string): string[] {
  const values: string[] = [];
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon === name.length && line.slice(0, colon).toLowerCase() === name) {
      values.push(line.slice(colon + 1).trim());
    }
  }
  return values;
}

/** The elements of a header that is a list, over all its lines. */
function elementsOf(block: string, name: string): string[] {
  return valuesOf(block, name)
    .flatMap((value) => value.split(','))
    .map((element) => element.trim())
    .filter((element) => element !== '');
}

/** What Sec-WebSocket-Accept must say to a key. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_GUID)
    .digest('base64');
}

/**
 * Whether a 101 answers this request: a change to WebSocket and nothing else, the key's proof, a subprotocol that was
 * offered, no extension that was not.
 * @param asked the request's header block. @param changesTo what the answer's Upgrade names; '' = its Connection does not name
 * Upgrade. @param answered the response's header block.
 */
export function isAnsweredWell(asked: string, changesTo: string, answered: string): boolean {
  if (changesTo.toLowerCase() !== 'websocket') return false;
  const [key] = valuesOf(asked, 'sec-websocket-key');
  const accepts = valuesOf(answered, 'sec-websocket-accept');
  if (key === undefined || accepts.length !== 1 || accepts[0] !== acceptOf(key)) return false;
  const chosen = valuesOf(answered, 'sec-websocket-protocol');
  const offered = elementsOf(asked, 'sec-websocket-protocol');
  if (chosen.length > 1 || (chosen.length === 1 && !offered.includes(chosen[0]!))) return false;
  const extensions = extensionsOf(asked);
  return extensionsOf(answered).every((name) => extensions.includes(name));
}

/** Names of the extensions in a handshake's header block, in lower case, without their parameters. */
export function extensionsOf(block: string): string[] {
  return elementsOf(block, 'sec-websocket-extensions').map((element) =>
    element.split(';', 1)[0]!.trim().toLowerCase(),
  );
}

/** The lines of an answer that are passed on where the listener makes a handshake of its own with its client. */
export function withoutHandshake(block: string): string {
  return block
    .split('\r\n')
    .filter((line) => !CONNECTION_FIELDS.test(line))
    .join('\r\n');
}
