// Response headers given as name/value pairs, made into the block that is passed on. Used by engines whose parser
// is not ours; wire makes its block in place.

/** Response headers that are for this hop or that the listener writes itself. Source: RFC 9110 §7.6.1, Go's httputil. */
export const DROPPED_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Bytes but for controls other than tab; those from 0x80 are opaque and pass. What is above 0xff is no byte. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const DIGITS = /^[0-9]{1,15}$/;

/** A name as a gateway to a CGI-like interface reads it: by letters and digits alone. Source: RFC 3875 §4.1.18. */
export function foldedName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');
}

/** The value in a `Name: value` line, without the space around it, of which an upstream may send any amount. */
export function valueIn(line: string, colon: number): string {
  return trimmedPart(line, colon + 1, line.length);
}

/** What stands in [from, to) without the spaces and tabs around it. */
export function trimmedPart(text: string, from: number, to: number): string {
  // Not a regular expression: `[ \t]+$` tries anew at each space inside a value, which takes a second for 16 KiB of them.
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** Whether a text, one latin1 character a byte, may stand as a field's value or as a reason phrase. Source: RFC 9110 §5.5. */
export function isFieldValue(text: string): boolean {
  return VALUE.test(text);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

export interface HeaderBlock {
  /** As UpstreamHead.headerBlock. */
  readonly headerBlock: string;
  /** -1 = none announced. */
  readonly contentLength: number;
}

/**
 * @param pairs name, value, name, value …, bytes as received.
 * @returns null when the headers are not HTTP, or say two things at once.
 */
export function headerBlockFromPairs(pairs: readonly Buffer[]): HeaderBlock | null {
  return headerBlockFromText(pairs.map((bytes) => bytes.toString('latin1')));
}

/** As headerBlockFromPairs. @param pairs text, one latin1 character a byte. */
export function headerBlockFromText(pairs: readonly string[]): HeaderBlock | null {
  const lines: [string, string, string][] = [];
  const dropped = new Set(DROPPED_HEADERS);
  let contentLength = -1;
  let isChunked = false;
  for (let index = 0; index + 1 < pairs.length; index += 2) {
    const name = pairs[index]!;
    const value = pairs[index + 1]!;
    const key = name.toLowerCase();
    if (!NAME.test(name) || !isFieldValue(value)) return null;
    if (key === 'content-length') {
      if (!DIGITS.test(value)) return null;
      if (contentLength >= 0 && contentLength !== Number(value)) return null;
      contentLength = Number(value);
    } else if (key === 'transfer-encoding') {
      if (isChunked || value.toLowerCase() !== 'chunked') return null;
      isChunked = true;
    } else if (key === 'connection') {
      for (const token of value.split(',')) dropped.add(token.trim().toLowerCase());
    }
    lines.push([key, name, value]);
  }
  if (isChunked && contentLength >= 0) return null;
  const kept = lines.filter(([key]) => !dropped.has(key));
  return {
    headerBlock: kept.map(([, name, value]) => `${name}: ${value}`).join('\r\n'),
    contentLength,
  };
}
