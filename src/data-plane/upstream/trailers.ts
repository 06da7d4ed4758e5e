// Trailers: the fields behind a body, from either side. They are passed on apart from the headers, and only those that
// cannot change how the message before them was understood. Used by listeners and engines, on worker threads.
import { foldedName, isFieldValue, valueIn } from './header-block.ts';

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Fields in one trailer section. */
const COUNT_MAX = 100;

/**
 * Never passed on behind a body, in any spelling: framing, routing, this hop, who asks, under what conditions, and what the
 * body is.
 * Source: RFC 9110 § 6.5.1, § 7.6.1.
 */
const DROPPED_TRAILERS: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'early-data',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-millrace-mirror',
  'x-real-ip',
]);

/**
 * @param pairs name, value, name, value …, text as latin1. Names that begin with a colon are passed over.
 * @returns `name: value` lines joined by CRLF, '' for none; null when these are no header fields, or too many.
 */
export function trailerBlock(pairs: readonly string[]): string | null {
  if (pairs.length > 2 * COUNT_MAX) return null;
  let block = '';
  for (let index = 0; index + 1 < pairs.length; index += 2) {
    const name = pairs[index]!;
    const value = pairs[index + 1]!;
    if (name.charCodeAt(0) === 0x3a) continue;
    if (!NAME.test(name) || !isFieldValue(value)) return null;
    if (DROPPED_TRAILERS.has(foldedName(name))) continue;
    block += `${block === '' ? '' : '\r\n'}${name}: ${value}`;
  }
  return block;
}

/** As trailerBlock. @param text lines as they stand behind the last chunk, each with its CRLF. */
export function trailerBlockOfText(text: string): string | null {
  if (text === '') return '';
  const pairs: string[] = [];
  for (const line of text.split('\r\n')) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    pairs.push(line.slice(0, colon), valueIn(line, colon));
  }
  return trailerBlock(pairs);
}

/** `Name: value` lines joined by CRLF as a flat list of names and values. */
export function blockPairs(block: string): string[] {
  const pairs: string[] = [];
  if (block === '') return pairs;
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    pairs.push(line.slice(0, colon), valueIn(line, colon));
  }
  return pairs;
}
