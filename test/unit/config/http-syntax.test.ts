// What the configuration may put into an HTTP message: nothing that could split or reframe one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as syntax from '../../../src/config/http-syntax.ts';

function expectAll(check: (text: string) => boolean, isAccepted: boolean, texts: string[]): void {
  for (const text of texts) assert.equal(check(text), isAccepted, JSON.stringify(text));
}

test('takes tokens only as names', () => {
  expectAll(syntax.isToken, true, ['GET', 'x-a', "!#$%&'*+-.^_`|~09"]);
  expectAll(syntax.isToken, false, ['', 'a b', 'a:', 'a\r', 'a\n', 'a\0', 'é', 'a,b', '"a"']);
});

test('lets no configuration set what frames a message', () => {
  expectAll(syntax.isSettableHeader, true, ['x-a', 'Date', 'Server']);
  expectAll(syntax.isSettableHeader, false, [
    'Connection',
    'content-length',
    'Transfer-Encoding',
    'upgrade',
    'Keep-Alive',
    'bad name',
  ]);
});

test('takes printable header values without spaces around them', () => {
  expectAll(syntax.isHeaderValue, true, ['', 'a', 'a b', 'a\tb', '~!']);
  expectAll(syntax.isHeaderValue, false, [' a', 'a ', 'a\r\nb', 'a\n', '\0', 'é', '\x7f', '\t']);
});

test('takes names, wildcards and addresses as hosts to match', () => {
  expectAll(syntax.isHostPattern, true, ['a.example', '*.a.example', '1.2.3.4', '[::1]', 'a']);
  expectAll(syntax.isHostPattern, false, [
    '',
    '*',
    'a:80',
    '*.',
    'a.*',
    '**.a',
    'a b',
    '1.2.3',
    '::1',
  ]);
});

test('takes a host with or without port as a Host header', () => {
  expectAll(syntax.isHostHeader, true, ['preserve', 'A.example', 'a:80', '[::1]', '[::1]:80']);
  expectAll(syntax.isHostHeader, false, ['', 'a\r\nb', 'a:b', 'unix:/a', 'a/b', 'a:99999', 'é']);
});

test('takes absolute paths, with a star only after the last slash', () => {
  expectAll(syntax.isPath, true, ['/', '/a/b', '/a*b', '/%20']);
  expectAll(syntax.isPath, false, ['', 'a', '/a?b', '/a#b', '/a b', '/é', '/a\n']);
  expectAll(syntax.isPathPattern, true, ['*', '/*', '/a', '/a/*', '/']);
  expectAll(syntax.isPathPattern, false, ['', '/a*', '/*/b', '**', 'a/*', '/a/**', '/a?*']);
  expectAll(syntax.isRequestTarget, true, ['/', '/health?full=1']);
  expectAll(syntax.isRequestTarget, false, ['', 'health', '/a b', '/a#b', '/a\r\n']);
});
