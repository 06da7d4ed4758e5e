// Plays conformance cases through a whole proxy to a recording backend. Each case has a client address of its own
// (127.0.0.0/8), so that cases can run side by side and every request at the backend is known to be of one case.
import { connect } from 'node:net';
import { Proxy } from '../helpers/proxy.ts';
import { type ConformanceCase, type ListenerEngine, sentBytes } from './case.ts';
import { findUnsent, ROUTE_HEADERS } from './forwarding-rules.ts';
import { RecordingBackend } from './recording-backend.ts';
import { parseRequests } from './strict-parser.ts';

/** Sent when the case's own answers are there: tells whether the connection is still of use. */
const SENTINEL_TARGET = '/sentinel';
const SENTINEL = `GET ${SENTINEL_TARGET} HTTP/1.1\r\nHost: a.example\r\n\r\n`;
/** Until a listener that neither answers nor closes is taken to wait for more. */
const STALL_MS = 1500;
const PIECE_GAP_MS = 10;
const CASES_AT_A_TIME = 24;

export interface CaseResult {
  readonly case: ConformanceCase;
  readonly outcome: string;
  /** Whole requests at the backend. */
  readonly seenCount: number;
  /** Conforms, or is a deviation that is accounted for, or fails. */
  readonly verdict: 'conforms' | 'deviates' | 'fails';
  /** The deviation's reason, or what failed. */
  readonly note: string;
}

interface Observed {
  readonly outcome: string;
  /** The request after the case was answered: the backend has seen one more. */
  readonly hasSentinel: boolean;
}

/** Plays all cases on one engine. @returns results in the order of the cases. */
export async function runCases(
  engine: ListenerEngine,
  cases: readonly ConformanceCase[],
): Promise<CaseResult[]> {
  const backend = await RecordingBackend.start();
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${backend.port}`] },
    {
      listeners: [{ name: 'web', address: '127.0.0.1:0', engine }],
      routes: [{ upstream: 'api', headers: { request: ROUTE_HEADERS } }],
    },
  );
  const observed: Observed[] = [];
  try {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < cases.length) {
        const index = next++;
        observed[index] = await play(cases[index]!, proxy.port, addressOf(index));
      }
    };
    await Promise.all(Array.from({ length: CASES_AT_A_TIME }, lane));
  } finally {
    await proxy.stop();
    backend.stop();
  }
  if (backend.faults.length > 0) {
    throw new Error(`the backend received what is no request:\n${backend.faults.join('\n')}`);
  }
  const addresses = new Set(cases.map((_, index) => addressOf(index)));
  for (const client of backend.clients) {
    if (!addresses.has(client)) throw new Error(`a request of nobody's at the backend: ${client}`);
  }
  return cases.map((each, index) => judge(each, engine, observed[index]!, backend, index));
}

function addressOf(index: number): string {
  return `127.10.${Math.floor(index / 200)}.${(index % 200) + 1}`;
}

function judge(
  each: ConformanceCase,
  engine: ListenerEngine,
  { outcome, hasSentinel }: Observed,
  backend: RecordingBackend,
  index: number,
): CaseResult {
  const all = backend.requestsOf(addressOf(index));
  const seen = hasSentinel ? all.slice(0, -1) : all;
  const deviation = each.deviations?.[engine];
  const isDeviating = deviation !== undefined && deviation.outcome === outcome;
  const readAs =
    (isDeviating ? deviation.backendReads : undefined) ?? each.mayReadAs ?? sentBytes(each);
  const unsent = findUnsent(parseRequests(readAs), seen);
  const result = { case: each, outcome, seenCount: seen.length };
  if (unsent !== '') return { ...result, verdict: 'fails', note: unsent };
  if (isDeviating) return { ...result, verdict: 'deviates', note: deviation.reason };
  if (deviation?.isSometimes === true && each.accept.includes(outcome)) {
    return { ...result, verdict: 'deviates', note: deviation.reason };
  }
  if (deviation !== undefined) {
    return { ...result, verdict: 'fails', note: `accounted for: ${deviation.outcome}` };
  }
  if (each.accept.includes(outcome)) return { ...result, verdict: 'conforms', note: '' };
  return { ...result, verdict: 'fails', note: `accepted: ${each.accept.join(', ')}` };
}

function play(each: ConformanceCase, port: number, localAddress: string): Promise<Observed> {
  const pieces = typeof each.send === 'string' ? [each.send] : each.send;
  const methods = parseRequests(each.mayReadAs ?? pieces.join('')).map(({ method }) => method);
  const expected = Math.max(1, methods.length);
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
    let text = '';
    let isSentinelSent = false;
    let isAllWritten = false;
    const settle = (end: 'close' | 'stall' | 'keep'): void => {
      clearTimeout(timer);
      socket.destroy();
      const answers = readAnswers(text, methods);
      const hasSentinel = end === 'keep';
      const statuses = (hasSentinel ? answers.slice(0, -1) : answers).map(({ status }) => status);
      resolve({ outcome: `${statuses.join(' ') || 'none'} ${end}`, hasSentinel });
    };
    const timer = setTimeout(() => settle('stall'), STALL_MS);
    socket.on('close', () => settle('close'));
    // The peer may reset a connection that it has nothing more to say on; 'close' follows.
    socket.on('error', () => undefined);
    const proceed = (): void => {
      const answers = readAnswers(text, methods);
      if (answers.some(({ body }) => body === SENTINEL_TARGET)) return settle('keep');
      const isRefused = answers.some(({ status }) => status >= 400);
      if (isSentinelSent || !isAllWritten || (answers.length < expected && !isRefused)) return;
      isSentinelSent = true;
      socket.write(SENTINEL);
    };
    let onAnswer: (() => void) | null = null;
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      proceed();
      goOnIfAnswered();
    });
    const goOnIfAnswered = (): void => {
      if (onAnswer === null || readAnswers(text, methods).length === 0) return;
      const next = onAnswer;
      onAnswer = null;
      next();
    };
    const untilAnswered = (next: () => void): void => {
      onAnswer = next;
      goOnIfAnswered();
    };
    writePieces(
      pieces,
      each.isAnsweredBetween === true ? untilAnswered : pause,
      0,
      (bytes, next) => {
        if (socket.writable) socket.write(Buffer.from(bytes, 'latin1'), next);
      },
      () => {
        isAllWritten = true;
        proceed();
      },
    );
  });
}

/** The client's pace: without a pause, pieces come together. */
function pause(next: () => void): void {
  setTimeout(next, PIECE_GAP_MS);
}

/** @param beforeLast what there is to wait for before the last piece. */
function writePieces(
  pieces: readonly string[],
  beforeLast: (next: () => void) => void,
  index: number,
  write: (bytes: string, next: () => void) => void,
  done: () => void,
): void {
  const piece = pieces[index];
  if (piece === undefined) return done();
  const next = (): void => writePieces(pieces, beforeLast, index + 1, write, done);
  write(piece, () => (index === pieces.length - 2 ? beforeLast : pause)(next));
}

/** The whole final answers in `text`. @param methods of the requests that are answered. */
function readAnswers(
  text: string,
  methods: readonly string[],
): { readonly status: number; readonly body: string }[] {
  const answers: { status: number; body: string }[] = [];
  let position = 0;
  for (;;) {
    const end = text.indexOf('\r\n\r\n', position);
    if (end < 0) return answers;
    const headText = text.slice(position, end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(headText)?.[1] ?? Number.NaN);
    position = end + 4;
    if (status >= 100 && status < 200 && status !== 101) continue;
    const length = Number(/^content-length: (\d+)$/im.exec(headText)?.[1] ?? Number.NaN);
    const isBodyless = methods[answers.length] === 'HEAD' || status === 204 || status === 304;
    // Node's own refusals are chunked, and empty.
    if (/^transfer-encoding: chunked$/im.test(headText)) {
      if (!text.startsWith('0\r\n\r\n', position)) return answers;
      answers.push({ status, body: '' });
      position += 5;
      continue;
    }
    // uWebSockets.js sends its own refusals without a length, and closes.
    const bodyEnd = isBodyless ? position : Number.isNaN(length) ? text.length : position + length;
    if (bodyEnd > text.length) return answers;
    answers.push({ status, body: text.slice(position, bodyEnd) });
    position = bodyEnd;
  }
}
