// What the fuzzer sends: conformance cases with bytes changed, cut, doubled and joined, and plain noise.
import type { Random } from '../../src/random.ts';
import { CASES } from '../conformance/cases/index.ts';

const BYTES_MAX = 60_000;
/** Bytes that mean something to a parser. */
const TELLING = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  ':',
  '\0',
  '\x7f',
  '\x80',
  '\xff',
  '0',
  ';',
  ',',
  '%',
  '\r\n\r\n',
];

/** @returns latin1 text to send on one connection. */
export function fuzzInput(random: Random): string {
  const below = (limit: number): number => Math.floor(random.next() * limit);
  if (random.next() < 0.1) return noise(below(300), below);
  let text = '';
  for (let count = 1 + below(3); count > 0; count--) {
    const { send } = CASES[below(CASES.length)]!;
    text += typeof send === 'string' ? send : send.join('');
  }
  text = text.slice(0, BYTES_MAX);
  for (let count = below(5); count > 0; count--) text = mutated(text, below);
  return text;
}

function mutated(text: string, below: (limit: number) => number): string {
  const at = below(text.length + 1);
  const end = Math.min(text.length, at + below(40));
  switch (below(6)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + TELLING[below(TELLING.length)]! + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(end);
    case 3:
      return text.slice(0, end) + text.slice(at);
    case 4:
      return text.slice(0, at) + noise(below(20), below) + text.slice(at);
    default:
      return text.slice(0, at);
  }
}

function noise(length: number, below: (limit: number) => number): string {
  let text = '';
  for (let index = 0; index < length; index++) text += String.fromCharCode(below(256));
  return text;
}
