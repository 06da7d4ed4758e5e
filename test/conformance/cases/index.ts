// All conformance cases, by chapter.
import type { ConformanceCase } from '../case.ts';
import { chunkedCases } from './chunked.ts';
import { connectionCases } from './connection.ts';
import { framingCases } from './framing.ts';
import { headerCases } from './headers.ts';
import { hostCases } from './host.ts';
import { limitCases } from './limits.ts';
import { requestLineCases } from './request-line.ts';
import { targetCases } from './targets.ts';

export const CHAPTERS: readonly (readonly [string, readonly ConformanceCase[]])[] = [
  ['Request line', requestLineCases],
  ['Targets', targetCases],
  ['Host', hostCases],
  ['Headers', headerCases],
  ['Framing', framingCases],
  ['Chunked coding', chunkedCases],
  ['Connection', connectionCases],
  ['Limits', limitCases],
];

export const CASES: readonly ConformanceCase[] = CHAPTERS.flatMap(([, cases]) => cases);
