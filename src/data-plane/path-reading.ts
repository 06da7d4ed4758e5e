// How a path is read to find its route. Servers differ in what they make of `..`, `//`, percent encodings and
// backslashes; a route must not be reached, or passed by, in a spelling that the endpoint reads as another path.
// Only for matching, and to find a prefix that is to be stripped: what is forwarded is what came. Called by the router,
// on a worker thread.

/** Without one of these a path has one reading: itself. */
const UNUSUAL = /[%\\;]|\/\/|\/\./;
/** What some servers take for a slash, or for the beginning of what does not count, and others do not. */
const DISPUTED = /%2f|%5c|\\|;|%3b/i;
const ENCODED = /%[0-9A-Fa-f]{2}/g;

/** True when normalPath() may differ from the path. */
export function isUnusual(path: string): boolean {
  return UNUSUAL.test(path);
}

/** True when normalPath() and otherReadings() may differ. */
export function isDisputed(path: string): boolean {
  return DISPUTED.test(path);
}

/** The path without dot segments, doubled slashes and needless percent encodings. Source: RFC 3986 §6.2.2. */
export function normalPath(path: string): string {
  return withoutDots(path.replace(ENCODED, decodeVisible));
}

/**
 * What a disputed path says to other servers: some read `%2F`, `%5C` and `\` as a slash, some leave out `;x`, the
 * parameters of a segment (§3.3), some do both.
 */
export function otherReadings(path: string): readonly string[] {
  const decoded = path.replace(ENCODED, decodeVisible);
  const slashed = decoded.replace(/%2F|%5C|\\/g, '/');
  return [slashed, withoutParameters(decoded), withoutParameters(slashed)].map(withoutDots);
}

function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, '');
}

function withoutDots(path: string): string {
  const segments: string[] = [];
  let isFolder = false;
  for (const segment of path.split('/')) {
    isFolder = segment === '' || segment === '.' || segment === '..';
    if (segment === '..') segments.pop();
    else if (!isFolder) segments.push(segment);
  }
  if (segments.length === 0) return '/';
  return '/' + segments.join('/') + (isFolder ? '/' : '');
}

/**
 * Where a prefix ends in a path as it is spelled. Dot segments are followed: what comes behind that place never climbs
 * above it, and read alone it says what the whole says below the prefix.
 * @param path begins with a slash.
 * @param prefix its segments, in normal form; one at least.
 * @returns index behind the prefix's last segment; -1 when the path is not below it.
 */
export function prefixEnd(path: string, prefix: readonly string[]): number {
  const segments: string[] = [];
  const ends: number[] = [];
  for (let start = 1; start <= path.length;) {
    const slash = path.indexOf('/', start);
    const end = slash < 0 ? path.length : slash;
    const segment = path.slice(start, end).replace(ENCODED, decodeVisible);
    start = end + 1;
    if (segment === '' || segment === '.') continue;
    if (segment === '..') {
      segments.pop();
      ends.pop();
    } else {
      segments.push(segment);
      ends.push(end);
    }
  }
  if (prefix.some((segment, index) => segments[index] !== segment)) return -1;
  return ends[prefix.length - 1]!;
}

/** Decodes what means the same either way; the rest gets one spelling. */
function decodeVisible(encoded: string): string {
  const byte = Number.parseInt(encoded.slice(1), 16);
  const character = String.fromCharCode(byte);
  const isPlain = byte > 0x20 && byte < 0x7f && !'/\\%?#'.includes(character);
  return isPlain ? character : encoded.toUpperCase();
}
