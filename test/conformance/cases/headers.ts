// Field lines: names, values, the space around them, and the bytes that must not be there.
import { type ConformanceCase, get, head } from '../case.ts';
import { STALLS } from './reasons.ts';

const FIELD = 'RFC 9112 §5';
const REFUSED = ['400 close'];

function passes(name: string, ...lines: string[]): ConformanceCase {
  return {
    name,
    source: FIELD,
    requires: 'A valid field arrives with its value byte for byte.',
    send: get(...lines),
    accept: ['200 keep'],
  };
}

function refused(name: string, requires: string, ...lines: string[]): ConformanceCase {
  return { name, source: 'RFC 9110 §5.5', requires, send: get(...lines), accept: REFUSED };
}

function stalls(name: string, requires: string, ...lines: string[]): ConformanceCase {
  return { ...refused(name, requires, ...lines), deviations: { uws: STALLS } };
}

const NAME = 'A field name is a token: 400.';
const VALUE =
  'CR, LF and NUL in a value are refused (or replaced); other control bytes are invalid.';
const OPAQUE = 'obs-text is opaque data: forwarded byte for byte, or refused.';
const SPELLING =
  'A spelling that servers fold into a header of ours is refused, so that none can be forged.';

/** A header that gateways to CGI-like interfaces read as one that the proxy writes. */
function folded(line: string): ConformanceCase {
  return {
    name: `a spelling of ours: ${line.slice(0, line.indexOf(':'))}`,
    source: 'RFC 3875 §4.1.18',
    requires: SPELLING,
    send: get(line),
    accept: REFUSED,
  };
}

/** A header that the route sets or removes, in the client's words: the backend does not see it. */
function overruled(line: string): ConformanceCase {
  return {
    name: `a header that the route sets or removes: ${line.slice(0, line.indexOf(':'))}`,
    source: 'RFC 3875 §4.1.18',
    requires: 'What the route sets or removes cannot be forged in another spelling.',
    send: get(line, 'X-Other: 1'),
    accept: ['200 keep'],
  };
}

function opaque(name: string, line: string): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §5.5',
    requires: OPAQUE,
    send: get(line, 'X-After: 1'),
    accept: ['200 keep', '400 close'],
  };
}

export const headerCases: readonly ConformanceCase[] = [
  passes('a header', 'X-A: b'),
  passes('no space after the colon', 'X-A:b'),
  passes('much space around the value', 'X-A: \t  b \t '),
  passes('space inside the value', 'X-A: b \t c'),
  passes('an empty value', 'X-A:', 'X-B: 1'),
  passes('a value of spaces', 'X-A:   ', 'X-B: 1'),
  passes('a name with an underscore', 'X_A: b'),
  passes('a name of every token character', "!#$%&'*+-.^_`|~09azAZ: b"),
  passes('a name of digits', '123: b'),
  passes('the same name three times', 'X-A: 1', 'X-A: 2', 'x-a: 3'),
  passes('cookies', 'Cookie: a=1; b="2"', 'Cookie: c=3'),
  passes('a colon in the value', 'X-A: http://b:80/'),
  passes('a quoted string', 'X-A: "b\\"c"'),
  passes('every visible character', 'X-A: !"#$%&\'()*+,-./0:;<=>?@AZ[\\]^_`az{|}~'),
  passes('a long value', 'X-A: ' + 'b'.repeat(6000)),
  passes('ninety headers', ...Array.from({ length: 90 }, (_, index) => `X-${index}: ${index}`)),
  passes(
    'Range and conditions',
    'Range: bytes=0-9,-5',
    'If-None-Match: W/"x", "y"',
    'If-Range: "x"',
  ),
  passes('Authorization', 'Authorization: Basic dTpw'),
  stalls('a space before the colon', 'Space between name and colon: 400 (§5.1).', 'X-A : b'),
  stalls('a tab before the colon', 'Space between name and colon: 400 (§5.1).', 'X-A\t: b'),
  stalls('a space in the name', NAME, 'X A: b'),
  stalls('a line without a colon', NAME, 'X-A'),
  stalls('NUL in the name', NAME, 'X\0A: b'),
  stalls('a control byte in the name', NAME, 'X\x01A: b'),
  stalls('a byte above 0x7f in the name', NAME, 'X\xe9A: b'),
  stalls('a parenthesis in the name', NAME, 'X(A): b'),
  stalls('a quote in the name', NAME, '"X-A": b'),
  stalls('a slash in the name', NAME, 'X/A: b'),
  stalls('an at sign in the name', NAME, 'X@A: b'),
  stalls('brackets in the name', NAME, 'X[A]: b'),
  stalls('a brace in the name', NAME, 'X{A}: b'),
  stalls('NUL in a value', VALUE, 'X-A: b\0c'),
  stalls('0x01 in a value', VALUE, 'X-A: b\x01c'),
  stalls('ESC in a value', VALUE, 'X-A: b\x1b[31mc'),
  stalls('a vertical tab in a value', VALUE, 'X-A: b\vc'),
  stalls('a form feed in a value', VALUE, 'X-A: b\fc'),
  stalls('a backspace in a value', VALUE, 'X-A: b\bc'),
  stalls('a bare CR in a value', VALUE, 'X-A: b\rc'),
  stalls('a bare CR, then a header', VALUE, 'X-A: b\rX-B: c'),
  stalls('a bare LF, then a header', VALUE, 'X-A: b\nX-B: c'),
  stalls('CR CR LF at the end of a line', VALUE, 'X-A: b\r', 'X-B: c'),
  stalls('LF CR at the end of a line', VALUE, 'X-A: b\n\rX-B: c'),
  stalls('0x00 at the end of a value', VALUE, 'X-A: b\0'),
  refused('DEL in a value', VALUE, 'X-A: b\x7fc'),
  refused('UTF-8 inside a value', OPAQUE, 'X-A: b\xc3\xa9c'),
  refused('latin1 inside a value', OPAQUE, 'X-A: b\xe9c'),
  refused('0x85 (NEL) inside a value', OPAQUE, 'X-A: b\x85c'),
  opaque('UTF-8 at the end of a value', 'X-A: b\xc3\xa9'),
  opaque('UTF-8 at the start of a value', 'X-A: \xc3\xa9b'),
  opaque('latin1 at the end of a value', 'X-A: b\xe9'),
  opaque('a value of bytes above 0x7f', 'X-A: \xff\xfe\x80'),
  {
    name: 'a folded value',
    source: 'RFC 9112 §5.2',
    requires: 'obs-fold is refused with 400, or replaced by spaces.',
    send: get('X-A: b', ' c'),
    accept: REFUSED,
    deviations: { uws: STALLS },
  },
  {
    name: 'a value folded with a tab',
    source: 'RFC 9112 §5.2',
    requires: 'obs-fold is refused with 400, or replaced by spaces.',
    send: get('X-A: b', '\tc'),
    accept: REFUSED,
    deviations: { uws: STALLS },
  },
  {
    name: 'a fold that hides a Content-Length',
    source: 'RFC 9112 §5.2',
    requires: 'obs-fold is refused with 400, or replaced by spaces.',
    send: get('X-A: b', ' Content-Length: 5') + 'hello',
    accept: REFUSED,
    deviations: { uws: STALLS },
  },
  {
    name: 'a fold as the first header line',
    source: 'RFC 9112 §2.2',
    requires: 'Space between the request line and the first header: refused, or the line ignored.',
    send: head('GET /case HTTP/1.1', ' Host: b.example', 'Host: a.example'),
    accept: REFUSED,
    deviations: { uws: STALLS },
  },
  {
    name: 'a bare LF ends a header',
    source: 'RFC 9112 §2.2',
    requires: 'A recipient may take a single LF as the end of a line.',
    send: 'GET /case HTTP/1.1\r\nHost: a.example\nX-A: b\r\n\r\n',
    mayReadAs: get('X-A: b'),
    accept: ['400 close', '200 keep'],
    deviations: { uws: STALLS },
  },
  {
    name: 'bare LFs end the head',
    source: 'RFC 9112 §2.2',
    requires: 'A recipient may take a single LF as the end of a line.',
    send: 'GET /case HTTP/1.1\r\nHost: a.example\r\nX-A: b\n\n',
    mayReadAs: get('X-A: b'),
    accept: ['400 close', '200 keep'],
    deviations: { uws: STALLS },
  },
  {
    name: 'an empty name',
    source: 'RFC 9110 §5.1',
    requires: NAME,
    send: get(': b', 'X-A: c'),
    accept: REFUSED,
  },
  folded('X_Forwarded_For: 192.0.2.1'),
  folded('X-Forwarded_For: 192.0.2.1'),
  folded('X_FORWARDED_PROTO: https'),
  folded('x_forwarded_host: b.example'),
  folded('X_Forwarded_Port: 1'),
  folded('X_Real_IP: 192.0.2.1'),
  folded('Content_Length: 5'),
  folded('Transfer_Encoding: chunked'),
  folded('X.Forwarded.For: 192.0.2.1'),
  folded('X-Forwarded~For: 192.0.2.1'),
  folded('X+Real+IP: 192.0.2.1'),
  folded('Content.Length: 5'),
  folded('Transfer~Encoding: chunked'),
  folded('x_millrace_mirror: 1'),
  overruled('X-Route-User: forged'),
  overruled('x_route_user: forged'),
  overruled('X.Route_User: forged'),
  overruled('X_Route_Secret: 1'),
  overruled('X-Route-SECRET: 1'),
  refused('latin1 in X-Forwarded-For', OPAQUE, 'X-Forwarded-For: 192.0.2.1\xe9, 192.0.2.2'),
];
