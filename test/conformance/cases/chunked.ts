// The chunked coding: sizes, extensions, line ends, trailers.
import { chunked, type ConformanceCase, type Deviation, post } from '../case.ts';
import { NODE_FRAMING_SPACE } from './reasons.ts';

const SOURCE = 'RFC 9112 §7.1';
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n';
/** uWS hides how a chunked body was framed, so nothing is read after one. */
const GOOD = ['200 keep', '200 close'];

/** uWS reads chunks leniently and does not say so. @param body what it makes of them. */
function lenient(body: string, why: string): Deviation {
  const framed = body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`;
  return {
    outcome: '200 close',
    backendReads: chunked(`${framed}0\r\n\r\n`),
    reason: `uWS ${why}; nothing that follows on the connection is read`,
  };
}

const STALLED: Deviation = {
  outcome: 'none stall',
  reason:
    'uWS waits for more; the request is never complete at the backend, and ends with its idle timeout',
};

/** uWS reads on behind the last chunk, and what it finds there is no request. */
const TRAILER: Deviation = {
  outcome: '505 close',
  reason: 'uWS takes a trailer for the next request; the answer to the first is lost',
  backendReads: chunked('5\r\nhello\r\n0\r\n\r\n'),
};

/** The same with what does look like a request. */
function lenientThenClosed(body: string, why: string): Deviation {
  return { ...lenient(body, why), outcome: 'none close' };
}

function good(name: string, body: string, deviation?: Deviation): ConformanceCase {
  return {
    name,
    source: SOURCE,
    requires: 'A chunked body is read to its end; extensions that are not known are ignored.',
    send: chunked(body),
    accept: GOOD,
    ...(deviation === undefined ? {} : { deviations: { uws: deviation } }),
  };
}

function bad(name: string, body: string, deviation?: Deviation): ConformanceCase {
  return {
    name,
    source: SOURCE,
    requires: 'Chunks that break the grammar are an error: 400 and close.',
    send: chunked(body),
    accept: ['400 close', 'none close'],
    ...(deviation === undefined ? {} : { deviations: { uws: deviation } }),
  };
}

export const chunkedCases: readonly ConformanceCase[] = [
  good('one chunk', '5\r\nhello\r\n0\r\n\r\n'),
  good('two chunks', '3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'),
  good('no chunk', '0\r\n\r\n'),
  good('sizes in upper and lower case', 'A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n'),
  good('a size with leading zeros', '0005\r\nhello\r\n000\r\n\r\n'),
  good('a chunk that looks like the last one', '5\r\n0\r\n\r\n\r\n0\r\n\r\n'),
  good('a chunk of 70,000 bytes', '11170\r\n' + 'x'.repeat(70_000) + '\r\n0\r\n\r\n'),
  {
    ...good('chunks cut at every place', ''),
    send: [chunked(''), '5', '\r', '\nhel', 'lo', '\r', '\n0', '\r\n', '\r', '\n'],
  },
  {
    ...good('the coding in upper case', ''),
    send: post(['Transfer-Encoding: CHUNKED'], '5\r\nhello\r\n0\r\n\r\n'),
  },
  {
    ...good('the coding in mixed case, with space', ''),
    send: post(['transfer-encoding: \t Chunked \t'], '5\r\nhello\r\n0\r\n\r\n'),
    deviations: { node: NODE_FRAMING_SPACE },
  },
  good('an extension', '5;a=b\r\nhello\r\n0\r\n\r\n', STALLED),
  good('an extension with a quoted string', '5;a="b;c"\r\nhello\r\n0\r\n\r\n', {
    outcome: '400 close',
    reason: 'uWS does not read extensions; nothing whole is forwarded',
  }),
  good('an extension on the last chunk', '5\r\nhello\r\n0;a\r\n\r\n', STALLED),
  good('a trailer', '5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n', TRAILER),
  good('three trailers', '5\r\nhello\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n', TRAILER),
  {
    ...good(
      'a trailer that looks like framing',
      '5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n',
      TRAILER,
    ),
    accept: [...GOOD, '400 close'],
  },
  bad('a size that is no number', 'g\r\nhello\r\n0\r\n\r\n', STALLED),
  bad('a negative size', '-5\r\nhello\r\n0\r\n\r\n'),
  bad('a size with a plus sign', '+5\r\nhello\r\n0\r\n\r\n'),
  bad('a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'),
  bad('a size with a letter after it', '5g\r\nhello\r\n0\r\n\r\n', STALLED),
  bad('a size beyond 64 bits', '10000000000000005\r\nhello\r\n0\r\n\r\n'),
  {
    ...bad('a size beyond 32 bits', '100000005\r\nhello\r\n0\r\n\r\n'),
    requires: 'A recipient expects large sizes: it waits for the rest, or refuses.',
    accept: ['none stall', '413 close', '400 close'],
  },
  bad('a size with an underscore', '0_5\r\nhello\r\n0\r\n\r\n'),
  bad('a size in quotes', '"5"\r\nhello\r\n0\r\n\r\n'),
  bad('no size', '\r\nhello\r\n0\r\n\r\n', lenient('', 'takes an empty size for the last chunk')),
  bad(
    'no size, then a request',
    '\r\n' + SMUGGLED,
    lenientThenClosed('', 'takes an empty size for the last chunk'),
  ),
  bad(
    'a space before the size',
    ' 5\r\nhello\r\n0\r\n\r\n',
    lenient('', 'takes an empty size for the last chunk'),
  ),
  bad(
    'a space after the size',
    '5 \r\nhello\r\n0\r\n\r\n',
    lenient('hello', 'skips what follows the size'),
  ),
  bad('a semicolon before the size', ';5\r\nhello\r\n0\r\n\r\n', STALLED),
  bad(
    'a bare LF after the size',
    '5\nhello\r\n0\r\n\r\n',
    lenient('hello', 'skips two bytes for the line end'),
  ),
  bad('a bare LF in an extension', '5;a\nhello\r\n0\r\n\r\n', STALLED),
  bad('a bare CR after the size', '5\rhello\r\n0\r\n\r\n', STALLED),
  bad(
    'no line end after a chunk',
    '5\r\nhello0\r\n\r\n',
    lenient('hello', 'skips two bytes for the line end'),
  ),
  bad(
    'other bytes for the line end',
    '5\r\nhelloXX0\r\n\r\n',
    lenient('hello', 'skips two bytes for the line end'),
  ),
  bad(
    'a chunk longer than its size',
    '3\r\nhello\r\n0\r\n\r\n',
    lenient('hel', 'skips two bytes for the line end'),
  ),
  bad(
    'bare LFs for all line ends',
    '5\nhello\n0\n\n',
    lenient('hello', 'skips two bytes for the line end'),
  ),
  bad(
    'a last chunk without its line end',
    '5\r\nhello\r\n0\r\n' + SMUGGLED,
    lenientThenClosed('hello', 'skips two bytes for the line end'),
  ),
  bad('a trailer without a colon', '5\r\nhello\r\n0\r\nX\r\n\r\n' + SMUGGLED, TRAILER),
  bad(
    'a trailer with a space before the colon',
    '5\r\nhello\r\n0\r\nX : y\r\n\r\n' + SMUGGLED,
    TRAILER,
  ),
];
