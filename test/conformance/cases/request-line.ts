// The request line: method, target, version, and the space between them.
import { type ConformanceCase, get, head } from '../case.ts';
import { ANSWERS_505, IN_PIECES, NODE_METHODS, NODE_SPACES, STALLS } from './reasons.ts';

const LINE = 'RFC 9112 §3';
const INVALID = 'An invalid request line is answered with 400 (or a redirect) and not forwarded.';
const REFUSED = ['400 close', '501 close', '405 close'];

/** A request line that is not one. */
function invalidLine(name: string, line: string): ConformanceCase {
  return {
    name,
    source: LINE,
    requires: INVALID,
    send: head(line, 'Host: a.example'),
    accept: ['400 close'],
    deviations: { uws: ANSWERS_505 },
  };
}

function version(name: string, line: string, accept: readonly string[]): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §15.6.6',
    requires: 'A major version that is not supported is answered with 505 or 400.',
    send: head(line, 'Host: a.example'),
    accept,
  };
}

function method(name: string, accept: readonly string[] = ['200 keep']): ConformanceCase {
  return {
    name: `method ${name}`,
    source: 'RFC 9110 §9.1',
    requires: 'A method is a case-sensitive token; a proxy passes on those it does not know.',
    send: head(`${name} /case HTTP/1.1`, 'Host: a.example'),
    accept,
  };
}

function badMethod(name: string, text: string): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §9.1',
    requires: 'What is not a token is not a method: 400.',
    send: head(`${text} /case HTTP/1.1`, 'Host: a.example'),
    accept: ['400 close', '501 close'],
    deviations: { uws: ANSWERS_505 },
  };
}

export const requestLineCases: readonly ConformanceCase[] = [
  {
    name: 'a plain GET',
    source: LINE,
    requires: 'Method, target, version; answered, and the connection stays.',
    send: get(),
    accept: ['200 keep'],
  },
  {
    name: 'a request in two packets, cut in the method',
    source: LINE,
    requires: 'Packets have no meaning.',
    send: ['G', get().slice(1)],
    accept: ['200 keep'],
    deviations: { uws: IN_PIECES },
  },
  {
    name: 'a request in many packets, cut in the headers',
    source: LINE,
    requires: 'Packets have no meaning.',
    send: ['GET /case HTTP/1.1\r\n', 'Host: a', '.example\r\n', '\r', '\n'],
    accept: ['200 keep'],
    deviations: { uws: IN_PIECES },
  },
  {
    name: 'a request in two packets, cut in the version',
    source: LINE,
    requires: 'Packets have no meaning.',
    send: ['GET /case HT', get().slice('GET /case HT'.length)],
    accept: ['200 keep'],
    deviations: {
      uws: {
        outcome: '505 close',
        reason:
          'uWS takes a packet that ends between the target and the end of the line for a bad version',
        isSometimes: true,
      },
    },
  },
  {
    ...invalidLine('two spaces after the method', 'GET  /case HTTP/1.1'),
    deviations: { uws: ANSWERS_505, node: NODE_SPACES },
  },
  {
    ...invalidLine('two spaces before the version', 'GET /case  HTTP/1.1'),
    deviations: { uws: ANSWERS_505, node: NODE_SPACES },
  },
  invalidLine('a tab after the method', 'GET\t/case HTTP/1.1'),
  invalidLine('a tab before the version', 'GET /case\tHTTP/1.1'),
  invalidLine('a space at the end', 'GET /case HTTP/1.1 '),
  invalidLine('a space before the method', ' GET /case HTTP/1.1'),
  invalidLine('a fourth word', 'GET /case HTTP/1.1 x'),
  invalidLine('no target', 'GET HTTP/1.1'),
  invalidLine('no method', '/case HTTP/1.1'),
  invalidLine('a space in the target', 'GET /ca se HTTP/1.1'),
  invalidLine('a form feed after the method', 'GET\f/case HTTP/1.1'),
  invalidLine('a vertical tab after the method', 'GET\v/case HTTP/1.1'),
  {
    name: 'a bare LF ends the request line',
    source: 'RFC 9112 §2.2',
    requires: 'A recipient may take a single LF as the end of a line.',
    send: 'GET /case HTTP/1.1\nHost: a.example\r\n\r\n',
    accept: ['400 close', '200 keep'],
    mayReadAs: get(),
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'a bare CR ends the request line',
    source: 'RFC 9112 §2.2',
    requires: 'A bare CR outside of content is invalid, or taken as a space.',
    send: 'GET /case HTTP/1.1\rHost: a.example\r\n\r\n',
    accept: ['400 close'],
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'one empty line before the request line',
    source: 'RFC 9112 §2.2',
    requires: 'At least one empty line before the request line should be ignored.',
    send: '\r\n' + get(),
    accept: ['200 keep'],
    mayReadAs: get(),
    deviations: { uws: STALLS },
  },
  {
    name: 'HTTP/0.9: a method and a target',
    source: 'RFC 9112 §3',
    requires: INVALID,
    send: 'GET /case\r\n\r\n',
    accept: ['400 close', '505 close'],
    deviations: { uws: STALLS },
  },
  version('HTTP/2.0', 'GET /case HTTP/2.0', ['505 close', '400 close']),
  version('HTTP/3.0', 'GET /case HTTP/3.0', ['505 close', '400 close']),
  version('HTTP/9.9', 'GET /case HTTP/9.9', ['505 close', '400 close']),
  {
    ...version('HTTP/1.2', 'GET /case HTTP/1.2', ['200 keep', '200 close']),
    source: 'RFC 9110 §2.5',
    requires: 'A higher minor version is processed as the highest one supported.',
    mayReadAs: get(),
    deviations: {
      uws: { outcome: '505 close', reason: 'uWS takes HTTP/1.1 and nothing else' },
      node: { outcome: '400 close', reason: 'llhttp takes 1.0 and 1.1 of the minor versions' },
    },
  },
  {
    ...version('HTTP/1.0', 'GET /case HTTP/1.0', ['200 close']),
    source: 'RFC 9110 §2.5',
    requires: 'HTTP/1.0 is served, and closed.',
    mayReadAs: get(),
    deviations: {
      uws: { outcome: '505 close', reason: 'uWS takes HTTP/1.1 and nothing else' },
    },
  },
  version('a version in lower case', 'GET /case http/1.1', ['400 close', '505 close']),
  version('a version of one digit', 'GET /case HTTP/1', ['400 close', '505 close']),
  version('a version of two digits', 'GET /case HTTP/1.10', ['400 close', '505 close']),
  version('a version with a space', 'GET /case HTTP/ 1.1', ['400 close', '505 close']),
  {
    ...version('another protocol', 'GET /case RTSP/1.0', ['400 close', '505 close']),
    deviations: {
      node: {
        outcome: '200 close',
        backendReads: get(),
        reason:
          'llhttp does not tell which protocol is named before the version; forwarded as HTTP/1.1',
      },
    },
  },
  {
    name: 'the HTTP/2 preface on an HTTP/1.1 listener',
    source: 'RFC 9113 §3.4',
    requires: 'The preface is chosen so that a server that does not speak HTTP/2 refuses it.',
    send: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    accept: ['505 close', '400 close', 'none close'],
  },
  {
    name: 'a TLS ClientHello on a plain listener',
    source: LINE,
    requires: INVALID,
    send: '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n',
    accept: ['400 close', 'none close'],
    deviations: { uws: ANSWERS_505 },
  },
  {
    name: 'a PROXY protocol line where none is expected',
    source: LINE,
    requires: INVALID,
    send: 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n' + get(),
    accept: ['400 close'],
    deviations: { uws: ANSWERS_505 },
  },
  method('HEAD'),
  method('DELETE'),
  method('OPTIONS'),
  method('PATCH'),
  method('PROPFIND'),
  { ...method('get'), deviations: { node: NODE_METHODS } },
  { ...method("M!#$%&'*+-.^_`|~9"), deviations: { node: NODE_METHODS } },
  {
    name: 'method CONNECT with a path',
    source: 'RFC 9110 §9.3.6',
    requires:
      'CONNECT has only the authority form; a server refuses what it cannot be a tunnel for.',
    send: head('CONNECT /case HTTP/1.1', 'Host: a.example'),
    accept: REFUSED,
  },
  {
    name: 'method CONNECT with an authority',
    source: 'RFC 9110 §9.3.6',
    requires: 'A gateway is no tunnel: refused.',
    send: head('CONNECT a.example:443 HTTP/1.1', 'Host: a.example:443'),
    accept: REFUSED,
    deviations: { uws: ANSWERS_505 },
  },
  { ...badMethod('method with @', 'G@T'), deviations: {} },
  { ...badMethod('method with a colon', 'GET:'), deviations: {} },
  { ...badMethod('method with brackets', 'G(E)T'), deviations: {} },
  { ...badMethod('method with a quote', '"GET"'), deviations: {} },
  badMethod('method with NUL', 'G\0T'),
  badMethod('method with a control byte', 'G\x01T'),
  badMethod('method with a byte above 0x7f', 'G\xc3\xa9T'),
];
