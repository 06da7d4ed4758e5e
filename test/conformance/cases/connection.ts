// What belongs to the connection: persistence, pipelining, hop-by-hop headers, Expect, Upgrade.
import { chunked, type ConformanceCase, get, head, post } from '../case.ts';
import { ANSWERS_505, CLOSES_UNANSWERED, IN_PIECES, NO_PIPELINING } from './reasons.ts';

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n';

const HIDING = get(': x', `Content-Length: ${SMUGGLED.length}`);

function hop(name: string, ...lines: string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §7.6.1',
    requires: 'Connection, and the headers that it names, go no further than this hop.',
    send: get(...lines),
    // uWS takes any value of five bytes for `close`; a server may close after any answer.
    accept: ['200 keep', '200 close'],
  };
}

function pipelined(name: string, ...requests: string[]): ConformanceCase {
  const statuses = requests.map(() => '200').join(' ');
  return {
    name,
    source: 'RFC 9112 §9.3.2',
    requires: 'Pipelined requests are answered in their order; a server may close instead.',
    send: requests.join(''),
    accept: [`${statuses} keep`, `${statuses} close`],
    deviations: { uws: NO_PIPELINING },
  };
}

/** A refused request, and a good one behind it that must not be read. */
function poisoned(name: string, first: string, accept: readonly string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9112 §9.6',
    requires: 'After a request whose end is in doubt nothing more is read from the connection.',
    send: first + SMUGGLED,
    accept,
    deviations: { uws: CLOSES_UNANSWERED },
  };
}

function expecting(name: string, value: string, accept: readonly string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §10.1.1',
    requires:
      '100-continue is answered or passed on; another expectation may be answered with 417.',
    send: [post([`Expect: ${value}`, 'Content-Length: 5'], ''), 'hello'],
    accept,
  };
}

export const connectionCases: readonly ConformanceCase[] = [
  {
    name: 'Connection: close',
    source: 'RFC 9112 §9.6',
    requires: 'The connection is closed after the answer.',
    send: get('Connection: close'),
    accept: ['200 close'],
  },
  {
    name: 'Connection: Close among others',
    source: 'RFC 9112 §9.6',
    requires: 'The connection is closed after the answer.',
    send: get('Connection: X-A, Close'),
    accept: ['200 close'],
  },
  hop('Connection: keep-alive', 'Connection: keep-alive', 'Keep-Alive: timeout=5'),
  hop('Connection names a header', 'Connection: X-Hop', 'X-Hop: 1', 'X-A: b'),
  hop('Connection names a header that came before', 'X-Hop: 1', 'X-A: b', 'Connection: x-hop'),
  hop(
    'Connection names a header that came twice',
    'Connection: X-Hop',
    'X-Hop: 1',
    'X-A: b',
    'X-Hop: 2',
  ),
  hop(
    'two Connection headers',
    'Connection: X-Hop',
    'X-Hop: 1',
    'Connection: X-Other',
    'X-Other: 2',
  ),
  hop('Connection names nothing', 'Connection: , ,', 'X-A: b'),
  hop('Connection names what the proxy sets', 'Connection: X-Forwarded-For, X-Real-IP', 'X-A: b'),
  hop('Connection names Content-Length', 'Connection: Content-Length', 'Content-Length: 0'),
  hop('Proxy-Connection', 'Proxy-Connection: keep-alive'),
  hop('TE', 'TE: trailers, deflate', 'Connection: TE'),
  hop('Trailer', 'Trailer: X-A'),
  hop(
    'forged forwarding headers',
    'X-Forwarded-For: 192.0.2.9',
    'X-Real-IP: 192.0.2.9',
    'Forwarded: for=192.0.2.9',
  ),
  pipelined('two GETs', get(), get('X-B: 1')),
  pipelined('five GETs', get(), get(), get(), get(), get()),
  pipelined('GET, POST, GET', get(), post(['Content-Length: 5'], 'hello'), get()),
  pipelined('HEAD, GET', head('HEAD /case HTTP/1.1', 'Host: a.example'), get()),
  pipelined('POST with a body, GET', post(['Content-Length: 5'], 'hello'), get()),
  pipelined('a chunked POST, GET', chunked('5\r\nhello\r\n0\r\n\r\n'), get()),
  {
    ...pipelined('a GET and half of another', get() + 'GET /ca'),
    accept: ['200 400 close'],
    deviations: {
      uws: { ...ANSWERS_505, outcome: '200 505 close' },
    },
  },
  poisoned('a request behind a bad Host', head('GET /case HTTP/1.1', 'Host: a b'), ['400 close']),
  poisoned('a request behind two lengths', post(['Content-Length: 0', 'Content-Length: 1'], ''), [
    '400 close',
  ]),
  poisoned('a request behind an unknown coding', post(['Transfer-Encoding: x'], ''), [
    '501 close',
    '400 close',
  ]),
  poisoned('a request behind a forged header', get('X_Forwarded_For: 192.0.2.1'), ['400 close']),
  poisoned('a request behind a bad target', head('GET /#x HTTP/1.1', 'Host: a.example'), [
    '400 close',
  ]),
  {
    ...poisoned('a request behind a bad one, in its own packet', '', ['400 close']),
    send: [head('GET /case HTTP/1.1', 'Host: a b'), SMUGGLED, SMUGGLED],
  },
  {
    ...poisoned('a request behind an empty name that hides a length', '', ['400 close']),
    send: post([': x', `Content-Length: ${SMUGGLED.length}`], '') + SMUGGLED,
  },
  {
    ...poisoned('a length hidden behind an empty name, its body in a packet of its own', '', [
      '400 close',
    ]),
    send: [post([': x', `Content-Length: ${SMUGGLED.length}`], ''), SMUGGLED],
    isAnsweredBetween: true,
  },
  {
    ...poisoned(
      'the length of a GET hidden behind an empty name, its body in a packet of its own',
      '',
      ['400 close'],
    ),
    send: [HIDING, SMUGGLED],
    isAnsweredBetween: true,
  },
  {
    ...poisoned(
      'the length of a GET hidden behind an empty name, its head in two packets, its body in another',
      '',
      ['400 close'],
    ),
    send: [HIDING.slice(0, -10), HIDING.slice(-10), SMUGGLED],
    isAnsweredBetween: true,
    deviations: { uws: { ...IN_PIECES, backendReads: get() } },
  },
  expecting('Expect: 100-continue', '100-continue', ['200 keep']),
  expecting('Expect: 100-Continue', '100-Continue', ['200 keep']),
  expecting('an unknown expectation', 'miracles', ['200 keep', '417 close', '417 keep']),
  {
    name: 'an upgrade to a protocol that is not served',
    source: 'RFC 9110 §7.8',
    requires: 'A server may ignore Upgrade; it is not passed on.',
    send: get('Connection: Upgrade', 'Upgrade: foo/2'),
    accept: ['200 keep'],
  },
  {
    name: 'an upgrade to h2c',
    source: 'RFC 9113 §3.1',
    requires: 'The h2c upgrade is obsolete: ignored, and its headers not passed on.',
    send: get(
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
    ),
    accept: ['200 keep'],
  },
  {
    name: 'HTTP2-Settings that Connection does not name',
    source: 'RFC 9113 §3.1',
    requires: 'The h2c upgrade is obsolete: ignored, and its headers not passed on.',
    send: get('Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'),
    accept: ['200 keep'],
  },
  {
    name: 'Upgrade without Connection: Upgrade',
    source: 'RFC 9110 §7.8',
    requires: 'Upgrade counts only with Connection: upgrade.',
    send: get('Upgrade: websocket'),
    accept: ['200 keep'],
  },
  {
    name: 'a request with a body that asks for an upgrade',
    source: 'RFC 9110 §7.8',
    requires: 'What follows the head is the body, not the new protocol.',
    send: post(['Connection: Upgrade', 'Upgrade: foo', 'Content-Length: 5'], 'hello'),
    accept: ['200 keep'],
  },
];
