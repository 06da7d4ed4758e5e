// The kinds of value an option can have. Each is one zod schema that reads what the operator wrote,
// says in one phrase what it expects, and knows its JSON Schema. Used by the schema files only.
import { z } from 'zod';
import { parseAddress, parseCidr } from './address.ts';
import { isHeaderValue, isReadableHeader, isSettableHeader, isToken } from './http-syntax.ts';
import { nearestHint } from './tree.ts';
import { parseBytes, parseDurationMs, parseRatePer1000s, parseStatusRanges } from './units.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

const MAX_INT = 2_147_483_647;

/** A name of an upstream, route, listener or rate limit: it stands in admin paths and metric labels. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const NAME_EXPECTED = 'a name (letters, digits, "-", "_", "."; 64 at most)';

/** One value: `expected` completes the sentence "expected …"; `parse` gives undefined for what is not it. */
export function leaf<T>(
  expected: string,
  json: JsonSchema,
  parse: (value: unknown) => T | undefined,
  hint: (value: unknown) => string = () => '',
) {
  return z
    .unknown()
    .transform((value, context): T => {
      const parsed = parse(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: 'custom', message: expected + hint(value) });
      return z.NEVER;
    })
    .meta({ title: expected, anyOf: [json, { $ref: '#/$defs/variable' }] });
}

/** An option that may be left out. `initial` is spelled as the operator would. */
export function option<S extends z.ZodType>(schema: S, initial: z.input<S>, meaning: string) {
  return schema.prefault(initial as never).describe(meaning);
}

/** A mapping with known keys. An unknown-key issue carries the known keys, for the nearest one. */
export function section<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : 'a mapping'),
  });
}

/** A list of one kind of item. */
export function list<S extends z.ZodType>(item: S) {
  return z.array(item, { error: 'a list' });
}

/** A list of one kind of item that may not be empty. */
export function filledList<S extends z.ZodType>(item: S, what: string) {
  return z.array(item, { error: 'a list' }).min(1, { error: `at least one ${what}` });
}

/** A mapping whose keys the operator chooses. */
export function named<S extends z.ZodType>(value: S) {
  return z.record(z.string().regex(NAME_PATTERN, { error: NAME_EXPECTED }), value, {
    error: (issue) => (issue.code === 'invalid_key' ? NAME_EXPECTED : 'a mapping'),
  });
}

// A number may come out of ${VAR}, and is text then.
function toNumber(value: unknown): number {
  if (typeof value === 'string' && /^-?\d{1,16}(?:\.\d{1,16})?$/.test(value)) return Number(value);
  return typeof value === 'number' ? value : Number.NaN;
}

/** A whole number within inclusive bounds. */
export function integer(min: number, max: number = MAX_INT) {
  return leaf(
    `a whole number from ${min} to ${max}`,
    { type: 'integer', minimum: min, maximum: max },
    (value) => {
      const number = toNumber(value);
      return Number.isInteger(number) && number >= min && number <= max ? number : undefined;
    },
  );
}

/** A whole number within inclusive bounds, or one of a few words. */
export function integerOr<const W extends readonly string[]>(words: W, min: number, max: number) {
  return leaf(
    `${words.join(', ')} or a whole number from ${min} to ${max}`,
    { anyOf: [{ enum: words }, { type: 'integer', minimum: min, maximum: max }] },
    (value): W[number] | number | undefined => {
      const number = toNumber(value);
      if (Number.isInteger(number)) return number >= min && number <= max ? number : undefined;
      return words.find((word) => word === value);
    },
  );
}

/** A number for which `accept` holds. */
export function number(expected: string, json: JsonSchema, accept: (value: number) => boolean) {
  return leaf(expected, { type: 'number', ...json }, (value) => {
    const number = toNumber(value);
    return Number.isFinite(number) && accept(number) ? number : undefined;
  });
}

/** A number within inclusive bounds. */
export function between(min: number, max: number) {
  const json = { minimum: min, maximum: max };
  return number(`a number from ${min} to ${max}`, json, (value) => value >= min && value <= max);
}

/** `true` or `false`. */
export function flag() {
  return leaf('true or false', { type: 'boolean' }, (value) => {
    if (value === true || value === 'true') return true;
    return value === false || value === 'false' ? false : undefined;
  });
}

/** One of a fixed set of words. A word of digits may be written as a number. */
export function choice<const W extends readonly string[]>(...words: W) {
  const numbers = words.filter((word) => /^\d+$/.test(word)).map(Number);
  return leaf(
    `one of ${words.join(', ')}`,
    { enum: [...words, ...numbers] },
    (value) => {
      const spelling = typeof value === 'number' ? String(value) : value;
      return words.find((word): word is W[number] => word === spelling);
    },
    (value) => (typeof value === 'string' ? nearestHint(value, words) : ''),
  );
}

/** Text for which `accept` holds. */
export function text(expected: string, accept: (text: string) => boolean, json: JsonSchema = {}) {
  return leaf(expected, { type: 'string', ...json }, (value) =>
    typeof value === 'string' && accept(value) ? value : undefined,
  );
}

/** Where a proxy or an endpoint stands; '' = nowhere in particular. */
export function zoneName() {
  return text('a zone name (letters, digits, "-", "_", "."; 64 at most) or ""', (zone) =>
    /^[\w.-]{0,64}$/.test(zone),
  );
}

/** A time span in ms within inclusive bounds, both spelled as the operator would. */
export function duration(min: string, max: string) {
  const minMs = parseDurationMs(min) ?? 0;
  const maxMs = parseDurationMs(max) ?? MAX_INT;
  const json = { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h)$' };
  return leaf(`a duration from ${min} to ${max}, such as 250ms, 10s, 5m or 1h`, json, (value) => {
    const ms = typeof value === 'string' ? parseDurationMs(value) : undefined;
    return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined;
  });
}

/** A number of bytes within inclusive bounds, both spelled as the operator would. */
export function size(min: string, max: string) {
  const minBytes = parseBytes(min) ?? 0;
  const maxBytes = parseBytes(max) ?? Number.MAX_SAFE_INTEGER;
  const json = { type: ['string', 'integer'], pattern: '^\\d+(\\.\\d+)?(KiB|MiB|GiB)?$' };
  return leaf(`a size from ${min} to ${max}, such as 512, 16KiB or 1MiB`, json, (value) => {
    const spelling = typeof value === 'number' ? String(value) : value;
    const bytes = typeof spelling === 'string' ? parseBytes(spelling) : undefined;
    return bytes !== undefined && bytes >= minBytes && bytes <= maxBytes ? bytes : undefined;
  });
}

/** Requests per 1000 seconds. */
export function rate() {
  const json = { type: 'string', pattern: '^\\d+/(s|m)$' };
  return leaf('a rate such as 10/s or 600/m', json, (value) =>
    typeof value === 'string' ? parseRatePer1000s(value) : undefined,
  );
}

/** Inclusive status ranges. */
export function statusRanges() {
  const json = { type: ['string', 'integer'] };
  return leaf('statuses from 100 to 599, such as 200-399 or 200-299,404', json, (value) => {
    const spelling = typeof value === 'number' ? String(value) : value;
    return typeof spelling === 'string' ? parseStatusRanges(spelling) : undefined;
  });
}

/** A socket address. @param portMin 0 where the system may choose the port. */
export function address(portMin: 0 | 1) {
  const json = { type: 'string' };
  return leaf(
    `an address: host:port (port ${portMin}–65535), "[v6]:port" or unix:/path`,
    json,
    (value) => (typeof value === 'string' ? parseAddress(value, portMin) : undefined),
  );
}

/** A CIDR block. */
export function cidr() {
  return leaf('an IP address or a CIDR block, such as 10.0.0.0/8', { type: 'string' }, (value) =>
    typeof value === 'string' ? parseCidr(value) : undefined,
  );
}

/** A name of an upstream, route, listener or rate limit. */
export function name() {
  return text(NAME_EXPECTED, (value) => NAME_PATTERN.test(value), { pattern: NAME_PATTERN.source });
}

/** The path of a file; it is not opened here. */
export function filePath() {
  return text("a file's path", (value) => value.length > 0 && !value.includes('\0'));
}

/** The path of a file, or '' for none. */
export function filePathOrNone() {
  return text('a file\'s path or ""', (value) => !value.includes('\0'));
}

/** An HTTP method, in upper case from here on. */
export function method() {
  return leaf('an HTTP method', { type: 'string' }, (value) =>
    typeof value === 'string' && isToken(value) ? value.toUpperCase() : undefined,
  );
}

const KEY_HEADERS = ' (a header that goes further than the proxy)';

/** What counts or hashes a request: an attribute of it that the operator names. */
export function requestKey(...words: string[]) {
  const known = [...words, 'header:NAME', 'cookie:NAME', 'query:NAME'];
  return leaf(`one of ${known.join(', ')}${KEY_HEADERS}`, { type: 'string' }, (value) => {
    if (typeof value !== 'string') return undefined;
    if (words.includes(value)) return value;
    const match = /^(header|cookie|query):(.+)$/.exec(value);
    const [, source = '', name = ''] = match ?? [];
    if (!(source === 'header' ? isReadableHeader(name) : isToken(name))) return undefined;
    return source === 'header' ? `header:${name.toLowerCase()}` : value;
  });
}

const HEADER_EXPECTED = 'a header name, of one that goes further than the proxy';
const SETTABLE_EXPECTED =
  'a header name other than Host (see rewrite.host) and those that frame a message';

/** Header names, in lower case from here on, with their values. @param isSet true = the proxy will write them. */
export function headerMap(isSet: boolean) {
  const expected = isSet ? SETTABLE_EXPECTED : HEADER_EXPECTED;
  const headerName = z
    .string()
    .refine((value) => (isSet ? isSettableHeader(value) : isReadableHeader(value)), {
      error: expected,
    });
  const value = text('text without control characters (quote numbers)', isHeaderValue);
  return z.record(headerName, value, {
    error: (issue) =>
      issue.code === 'invalid_key' ? expected : 'a mapping of header names to text',
  });
}

/** The name of a header that may be removed, in lower case from here on. */
export function removableHeader() {
  return leaf(SETTABLE_EXPECTED, { type: 'string' }, (value) =>
    typeof value === 'string' && isSettableHeader(value) ? value.toLowerCase() : undefined,
  );
}
