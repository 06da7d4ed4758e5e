// Host: exactly one, and valid.
import { type ConformanceCase, get, head } from '../case.ts';
import { STALLS } from './reasons.ts';

const SOURCE = 'RFC 9112 §3.2';
const REQUIRES =
  'A request without Host, with more than one, or with an invalid one is answered with 400.';

function refused(name: string, ...lines: string[]): ConformanceCase {
  return {
    name,
    source: SOURCE,
    requires: REQUIRES,
    send: head('GET /case HTTP/1.1', ...lines),
    accept: ['400 close'],
  };
}

function passes(name: string, host: string): ConformanceCase {
  return {
    name,
    source: 'RFC 9110 §7.2',
    requires: 'A valid Host arrives as it was sent.',
    send: head('GET /case HTTP/1.1', `Host: ${host}`),
    accept: ['200 keep'],
  };
}

export const hostCases: readonly ConformanceCase[] = [
  passes('Host with a port', 'a.example:8080'),
  passes('Host in upper case', 'A.EXAMPLE'),
  passes('Host as an IPv4 address', '192.0.2.1:80'),
  passes('Host as an IPv6 address', '[2001:db8::1]:80'),
  passes('Host with a final dot', 'a.example.'),
  passes('Host with an underscore', 'a_b.example'),
  passes('Host with an empty port', 'a.example:'),
  { ...refused('no Host and no other header'), deviations: { uws: STALLS } },
  refused('no Host', 'X-A: b'),
  refused('an empty Host', 'Host:'),
  refused('two different Hosts', 'Host: a.example', 'Host: b.example'),
  refused('the same Host twice', 'Host: a.example', 'Host: a.example'),
  refused('an empty Host and a good one', 'Host:', 'Host: a.example'),
  refused('Host with a space', 'Host: a.example b.example'),
  refused('Host with a comma and space', 'Host: a.example, b.example'),
  refused('Host with a path', 'Host: a.example/x'),
  refused('Host with a query', 'Host: a.example?x'),
  refused('Host with a fragment', 'Host: a.example#x'),
  refused('Host with user information', 'Host: u@a.example'),
  refused('Host with a scheme', 'Host: http://a.example'),
  refused('Host with a port that is no number', 'Host: a.example:http'),
  refused('Host with a port out of range', 'Host: a.example:123456'),
  refused('Host with two ports', 'Host: a.example:80:81'),
  refused('Host with a backslash', 'Host: a.example\\b'),
  refused('Host with an open bracket', 'Host: [2001:db8::1'),
  refused('Host with a byte above 0x7f', 'Host: caf\xe9.example'),
  { ...refused('Host with NUL', 'Host: a\0.example'), deviations: { uws: STALLS } },
  {
    ...refused('Host with a space before the colon', 'Host : a.example'),
    deviations: { uws: STALLS },
  },
  {
    name: 'Host named by Connection',
    source: 'RFC 9110 §7.6.1',
    requires: 'A sender does not list what is meant for all recipients; Host is not taken out.',
    send: get('Connection: Host, close'),
    accept: ['200 close', '400 close'],
  },
];
