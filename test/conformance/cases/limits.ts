// Sizes: what is too long is answered with the status made for it, and closed.
import { type ConformanceCase, get, head } from '../case.ts';

const FIELDS = 'RFC 6585 §5';
const TOO_LARGE = 'Headers over the limit are answered with 431 and not forwarded.';

export const limitCases: readonly ConformanceCase[] = [
  {
    name: 'headers just under 16 KiB',
    source: 'RFC 9112 §2.3',
    requires: 'Within the limit of the configuration: passed on.',
    send: get('X-A: ' + 'b'.repeat(15_500)),
    accept: ['200 keep'],
  },
  {
    name: 'headers over 16 KiB',
    source: FIELDS,
    requires: TOO_LARGE,
    send: get('X-A: ' + 'b'.repeat(20_000)),
    accept: ['431 close', '400 close'],
  },
  {
    name: 'headers without an end',
    source: FIELDS,
    requires: TOO_LARGE,
    send: 'GET /case HTTP/1.1\r\nHost: a.example\r\n' + 'X-A: b\r\n'.repeat(5000),
    accept: ['431 close', '400 close'],
  },
  {
    name: 'a name without an end',
    source: FIELDS,
    requires: TOO_LARGE,
    send: 'GET /case HTTP/1.1\r\nHost: a.example\r\n' + 'X'.repeat(40_000),
    accept: ['431 close', '400 close'],
  },
  {
    name: 'a target over 16 KiB',
    source: 'RFC 9110 §15.5.15',
    requires: 'A target that is too long is answered with 414 (or 431).',
    send: head('GET /' + 'x'.repeat(20_000) + ' HTTP/1.1', 'Host: a.example'),
    accept: ['414 close', '431 close', '400 close'],
  },
  {
    name: 'a method over 16 KiB',
    source: 'RFC 9112 §3',
    requires: 'A method that is too long is answered with 501 or another 4xx.',
    send: head('X'.repeat(20_000) + ' /case HTTP/1.1', 'Host: a.example'),
    accept: ['501 close', '400 close', '431 close'],
  },
  {
    name: '150 headers',
    source: FIELDS,
    requires: TOO_LARGE,
    send: get(...Array.from({ length: 150 }, (_, index) => `X-${index}: ${index}`)),
    accept: ['431 close', '400 close'],
  },
  {
    name: '20,000 empty lines',
    source: 'RFC 9112 §2.2',
    requires: 'At least one empty line is ignored; not any number of them.',
    send: '\r\n'.repeat(20_000),
    accept: ['400 close', '431 close', 'none close'],
    deviations: {
      node: {
        outcome: 'none stall',
        reason: 'llhttp skips them all; the timeout for headers closes',
      },
    },
  },
];
