// Request targets: the forms, and the bytes in them. What is forwarded is what came.
import { type ConformanceCase, head } from '../case.ts';
import { ANSWERS_505, STALLS } from './reasons.ts';

const REFUSED = ['400 close'];

/** A target in origin form that arrives as it was sent. */
function passes(name: string, target: string): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §7.7',
    requires: 'A proxy does not change the path and query of what it forwards.',
    send: head(`GET ${target} HTTP/1.1`, 'Host: a.example'),
    accept: ['200 keep'],
  };
}

function refused(name: string, target: string): ConformanceCase {
  return {
    name,
    source: 'RFC 9112 §3.2',
    requires: 'A target with bytes that no target has is refused, never repaired.',
    send: head(`GET ${target} HTTP/1.1`, 'Host: a.example'),
    accept: REFUSED,
  };
}

const refusedBefore = (name: string, target: string): ConformanceCase => ({
  ...refused(name, target),
  deviations: { uws: ANSWERS_505 },
});

function forLastRecipient(method: string): ConformanceCase {
  const deviation = {
    outcome: '200 keep',
    reason:
      'the proxy stands for its endpoints: it passes the request on as it came, with its Max-Forwards',
  };
  return {
    name: `${method} with Max-Forwards: 0`,
    source: 'RFC 9110 §7.6.2',
    requires: 'An intermediary answers it itself.',
    send: head(`${method} /case HTTP/1.1`, 'Host: a.example', 'Max-Forwards: 0'),
    accept: ['405 keep', '501 keep'],
    deviations: { uws: deviation, node: deviation },
  };
}

export const targetCases: readonly ConformanceCase[] = [
  passes('the root', '/'),
  passes('a query', '/case?a=1&b=2'),
  passes('an empty query', '/case?'),
  passes('a question mark in the query', '/case?a?b'),
  passes('a slash in the query', '/case?a=/../b'),
  passes('percent encodings', '/c%61se/%2F/%e4%bd%a0?%20=%0d%0a'),
  passes('a broken percent encoding', '/case%zz%'),
  passes('an encoded NUL', '/case%00'),
  passes('dot segments', '/a/../b/./c'),
  passes('encoded dot segments', '/a/%2e%2e/b'),
  passes('double slashes', '//a//b//'),
  passes('parameters', '/a;x=1/b;y'),
  passes('a colon', '/a:b'),
  passes('every sub-delimiter', "/-._~!$&'()*+,;=:@"),
  passes('characters that RFC 3986 leaves out', '/a"<>[]^`{|}\\b'),
  passes('a target that looks like a URL', '/http://b.example/'),
  passes('a long target', '/' + 'x'.repeat(3000)),
  refused('a fragment', '/case#part'),
  refused('UTF-8 in the path', '/caf\xc3\xa9/x'),
  refused('UTF-8 in the query', '/case?caf\xc3\xa9=x'),
  refused('latin1 in the path', '/caf\xe9/x'),
  refused('latin1 in the query', '/case?caf\xe9=x'),
  refused('UTF-8 at the end of the path', '/caf\xc3\xa9'),
  refused('latin1 at the end of the query', '/case?caf\xe9'),
  refused('DEL in the path', '/ca\x7fse'),
  refusedBefore('NUL in the path', '/ca\0se'),
  refusedBefore('a control byte in the path', '/ca\x01se'),
  refusedBefore('ESC in the query', '/case?\x1b[0m'),
  { ...refused('a bare CR in the path', '/ca\rse'), deviations: { uws: STALLS } },
  refusedBefore('a bare LF in the path', '/ca\nse'),
  refusedBefore('no leading slash', 'case'),
  refusedBefore('an authority with GET', 'a.example:80'),
  refusedBefore('an asterisk with GET', '*'),
  refusedBefore('a scheme that is not HTTP', 'ftp://a.example/case'),
  {
    name: 'absolute form, the same host',
    source: 'RFC 9112 §3.2.2',
    requires: 'A server accepts the absolute form.',
    send: head('GET http://a.example/case HTTP/1.1', 'Host: a.example'),
    mayReadAs: head('GET /case HTTP/1.1', 'Host: a.example'),
    accept: ['200 keep'],
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'absolute form, another host than Host',
    source: 'RFC 9112 §3.2.2',
    requires: "The target's host counts, and Host is replaced by it; or it is refused.",
    send: head('GET http://b.example/case HTTP/1.1', 'Host: a.example'),
    mayReadAs: head('GET /case HTTP/1.1', 'Host: b.example'),
    accept: ['200 keep', '400 close'],
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'absolute form with user information',
    source: 'RFC 9110 §4.2.4',
    requires: 'User information from an untrusted source is an error.',
    send: head('GET http://u:p@a.example/case HTTP/1.1', 'Host: a.example'),
    accept: REFUSED,
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'OPTIONS *',
    source: 'RFC 9112 §3.2.4',
    requires: 'A server answers OPTIONS for itself, or a proxy passes it on.',
    send: head('OPTIONS * HTTP/1.1', 'Host: a.example'),
    accept: ['200 keep', '204 keep'],
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'OPTIONS in absolute form without a path',
    source: 'RFC 9112 §3.2.4',
    requires: 'The last proxy passes it on as `OPTIONS *`.',
    send: head('OPTIONS http://a.example HTTP/1.1', 'Host: a.example'),
    accept: ['200 keep'],
    mayReadAs: head('OPTIONS * HTTP/1.1', 'Host: a.example'),
    deviations: { uws: ANSWERS_505 },
  },
  forLastRecipient('OPTIONS'),
  forLastRecipient('TRACE'),
];
