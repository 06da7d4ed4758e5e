// Where a request ends: Content-Length, Transfer-Encoding, and the two together. Each bad case is followed by what a
// reader of the other opinion would take for a second request.
import { type ConformanceCase, get, head, post } from '../case.ts';
import { CLOSES_UNANSWERED, NODE_FRAMING_SPACE } from './reasons.ts';

const LENGTH = 'RFC 9112 §6.3';
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n';
const REFUSED = ['400 close'];

function good(name: string, send: string | readonly string[]): ConformanceCase {
  return {
    name,
    source: LENGTH,
    requires: 'A valid length frames the body.',
    send,
    accept: ['200 keep'],
  };
}

function badLength(name: string, ...headers: string[]): ConformanceCase {
  return {
    name,
    source: LENGTH,
    requires: 'An invalid Content-Length is an unrecoverable error: 400 and close.',
    send: post(headers, SMUGGLED),
    accept: REFUSED,
  };
}

function badCoding(name: string, requires: string, ...headers: string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9112 §6.1',
    requires,
    send: post(headers, '0\r\n\r\n' + SMUGGLED),
    accept: ['501 close', '400 close'],
    deviations: { uws: CLOSES_UNANSWERED },
  };
}

const UNKNOWN =
  'A transfer coding that is not understood is answered with 501; faulty framing with 400 and close.';

/** Content-Length and Transfer-Encoding in one request. */
function both(name: string, body: string, ...headers: string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9112 §6.1',
    requires:
      'Both framings: refused, or the length ignored; the connection is closed in either case.',
    send: post(headers, body),
    accept: REFUSED,
  };
}

const CHUNKED_BODY = '5\r\nhello\r\n0\r\n\r\n';

/** A case whose refusal is ours: uWS itself sees nothing wrong and reads on. */
function unanswered(each: ConformanceCase): ConformanceCase {
  return { ...each, deviations: { uws: CLOSES_UNANSWERED } };
}

export const framingCases: readonly ConformanceCase[] = [
  good('a body with a length', post(['Content-Length: 5'], 'hello')),
  good('a length of zero', post(['Content-Length: 0'], '')),
  good('POST without a length', post([], '')),
  good('leading zeros', post(['Content-Length: 0005'], 'hello')),
  good('a body with GET', get('Content-Length: 5') + 'hello'),
  good(
    'a body with DELETE',
    head('DELETE /case HTTP/1.1', 'Host: a', 'Content-Length: 5') + 'hello',
  ),
  good('a body in its own packets', [post(['Content-Length: 5'], ''), 'he', 'l', 'lo']),
  good('a body of every byte', post(['Content-Length: 256'], everyByte())),
  good('a body that looks like a request', post([`Content-Length: ${SMUGGLED.length}`], SMUGGLED)),
  good('a body of 100,000 bytes', post(['Content-Length: 100000'], 'x'.repeat(100_000))),
  good('a body that ends in CR', post(['Content-Length: 5'], 'hell\r')),
  {
    ...good('space around the length', post(['Content-Length: \t 5 \t'], 'hello')),
    mayReadAs: post(['Content-Length: 5'], 'hello'),
    deviations: { node: NODE_FRAMING_SPACE },
  },
  {
    name: 'a body that does not come',
    source: 'RFC 9112 §8',
    requires: 'An incomplete body is not forwarded as a whole one.',
    send: post(['Content-Length: 6'], 'hello'),
    accept: ['none stall', '408 close', '400 close'],
  },
  badLength('a length with a plus sign', 'Content-Length: +5'),
  badLength('a negative length', 'Content-Length: -5'),
  badLength('a length in hexadecimal', 'Content-Length: 0x5'),
  badLength('a length with a letter', 'Content-Length: 5x'),
  badLength('a length with a point', 'Content-Length: 5.0'),
  badLength('a length with an exponent', 'Content-Length: 5e0'),
  badLength('a length with an underscore', 'Content-Length: 1_0'),
  badLength('a length with a space inside', 'Content-Length: 5 5'),
  unanswered(badLength('an empty length', 'Content-Length:')),
  badLength('a length beyond 64 bits', 'Content-Length: 18446744073709551621'),
  badLength('a length of forty digits', 'Content-Length: ' + '9'.repeat(40)),
  badLength('a length in quotes', 'Content-Length: "5"'),
  badLength('a length with a semicolon', 'Content-Length: 5;'),
  badLength('a length with DEL', 'Content-Length: 5\x7f'),
  badLength('a list of two lengths', 'Content-Length: 5, 6'),
  unanswered(
    badLength(
      'CL.CL: two lengths, the short one first',
      'Content-Length: 0',
      `Content-Length: ${SMUGGLED.length}`,
    ),
  ),
  badLength(
    'CL.CL: two lengths, the long one first',
    `Content-Length: ${SMUGGLED.length}`,
    'Content-Length: 0',
  ),
  unanswered(
    badLength('CL.CL: an empty one first', 'Content-Length:', `Content-Length: ${SMUGGLED.length}`),
  ),
  badLength('CL.CL: an empty one last', `Content-Length: ${SMUGGLED.length}`, 'Content-Length:'),
  unanswered(
    badLength(
      'CL.CL: three lengths',
      'Content-Length: 0',
      'X: y',
      'Content-Length: 0',
      'content-length: 5',
    ),
  ),
  {
    ...badLength('the same length twice', 'Content-Length: 5', 'Content-Length: 5'),
    requires: 'Equal lengths may be taken as one, or refused.',
    accept: ['400 close', '505 close'],
  },
  {
    ...badLength('a list of the same length', 'Content-Length: 5, 5'),
    requires: 'Equal lengths may be taken as one, or refused.',
  },
  both('CL.TE', '0\r\n\r\n' + SMUGGLED, 'Content-Length: 5', 'Transfer-Encoding: chunked'),
  both('TE.CL', CHUNKED_BODY, 'Transfer-Encoding: chunked', 'Content-Length: 3'),
  both(
    'CL.TE with a length of zero',
    CHUNKED_BODY,
    'Content-Length: 0',
    'Transfer-Encoding: chunked',
  ),
  unanswered(
    both('CL.TE with an empty coding', SMUGGLED, 'Content-Length: 0', 'Transfer-Encoding:'),
  ),
  both('TE.CL with an unknown coding', SMUGGLED, 'Transfer-Encoding: x', 'Content-Length: 0'),
  both(
    'CL.TE with a bad length',
    '0\r\n\r\n' + SMUGGLED,
    'Content-Length: x',
    'Transfer-Encoding: chunked',
  ),
  both('CL.TE with GET', CHUNKED_BODY, 'content-length: 4', 'TRANSFER-ENCODING: CHUNKED'),
  badCoding(
    'TE.TE: chunked, then identity',
    UNKNOWN,
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: identity',
  ),
  badCoding(
    'TE.TE: identity, then chunked',
    UNKNOWN,
    'Transfer-Encoding: identity',
    'Transfer-Encoding: chunked',
  ),
  badCoding(
    'TE.TE: chunked twice',
    'chunked is applied once only.',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked',
  ),
  badCoding(
    'TE.TE: chunked, then an empty one',
    UNKNOWN,
    'Transfer-Encoding: chunked',
    'Transfer-Encoding:',
  ),
  {
    ...badCoding(
      'TE.TE: an empty one, then chunked',
      UNKNOWN,
      'Transfer-Encoding:',
      'Transfer-Encoding: chunked',
    ),
    deviations: {},
  },
  badCoding('the coding xchunked', UNKNOWN, 'Transfer-Encoding: xchunked'),
  badCoding('the coding chunkedx', UNKNOWN, 'Transfer-Encoding: chunkedx'),
  badCoding('the coding "chunked"', UNKNOWN, 'Transfer-Encoding: "chunked"'),
  badCoding('the coding identity', UNKNOWN, 'Transfer-Encoding: identity'),
  badCoding('the coding gzip', UNKNOWN, 'Transfer-Encoding: gzip'),
  badCoding('the codings gzip, chunked', UNKNOWN, 'Transfer-Encoding: gzip, chunked'),
  badCoding('the codings chunked, gzip', UNKNOWN, 'Transfer-Encoding: chunked, gzip'),
  badCoding(
    'the codings chunked, chunked',
    'chunked is applied once only.',
    'Transfer-Encoding: chunked, chunked',
  ),
  badCoding('chunked with a comma before', UNKNOWN, 'Transfer-Encoding: ,chunked'),
  badCoding('chunked with a parameter', UNKNOWN, 'Transfer-Encoding: chunked;q=1'),
  badCoding('chunked with DEL after it', UNKNOWN, 'Transfer-Encoding: chunked\x7f'),
  { ...badCoding('an empty coding', UNKNOWN, 'Transfer-Encoding:'), deviations: {} },
  badCoding('chunked with a byte above 0x7f before it', UNKNOWN, 'Transfer-Encoding: \xffchunked'),
];

function everyByte(): string {
  let text = '';
  for (let byte = 0; byte < 256; byte++) text += String.fromCharCode(byte);
  return text;
}
