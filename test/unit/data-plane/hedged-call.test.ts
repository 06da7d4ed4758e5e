// A request that is sent twice: whose answer is passed on, what becomes of the other call, and that each place is given
// back exactly once.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { DelayLine } from '../../../src/data-plane/delay-line.ts';
import {
  HedgedCall,
  type HedgePlace,
  type HedgePlaces,
} from '../../../src/data-plane/hedged-call.ts';
import {
  BODY_NONE,
  type EndpointConnections,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamHead,
  type UpstreamRequest,
} from '../../../src/data-plane/upstream/engine.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const OK: UpstreamHead = { status: 200, reason: 'OK', headerBlock: '', contentLength: 0 };
const FAILURE: UpstreamHead = { ...OK, status: 503 };

let events: string[];

/** An endpoint whose one call is played by the test. */
class Endpoint implements EndpointConnections, UpstreamCall {
  readonly connectionCount = 0;
  readonly name: string;
  handler: UpstreamHandler | null = null;
  mayQueue = true;

  constructor(name: string) {
    this.name = name;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    events.push(`${this.name} asked`);
    this.handler = handler;
    this.mayQueue = request.mayQueue;
    return this;
  }

  close(): void {}

  write(): boolean {
    return true;
  }

  endBody(): void {}

  resume(): void {
    events.push(`${this.name} resumed`);
  }

  abort(): void {
    events.push(`${this.name} given up`);
    this.handler = null;
  }
}

class Owner implements UpstreamRequest, UpstreamHandler, HedgePlaces {
  readonly method = 'GET';
  readonly target = '/';
  readonly headerBlock = '';
  readonly bodyLength = BODY_NONE;
  readonly mayQueue = true;
  readonly acceptsTrailers = false;
  readonly mayHaveTrailers = false;
  place: HedgePlace | null;

  constructor(place: HedgePlace | null) {
    this.place = place;
  }

  reserveHedge(): HedgePlace | null {
    return this.place;
  }

  onHedgeWon(_place: HedgePlace, isFirstSlow: boolean): void {
    events.push(`hedge won${isFirstSlow ? ', first slow' : ''}`);
  }

  onHedgeLost(_place: HedgePlace, code: UpstreamErrorCode | null): void {
    events.push(`hedge lost: ${code}`);
  }

  onFirstFailed(code: UpstreamErrorCode): void {
    events.push(`first failed: ${code}`);
  }

  onSent(): void {}

  onHead(head: UpstreamHead): void {
    events.push(`head ${head.status}`);
  }

  onBody(): boolean {
    events.push('body');
    return true;
  }

  onEnd(): void {
    events.push('end');
  }

  onError(code: UpstreamErrorCode): void {
    events.push(`error ${code}`);
  }

  onDisplaced(): void {
    events.push('displaced');
  }

  onDrain(): void {}
}

let first: Endpoint;
let second: Endpoint;
let clock: FakeClock;
let call: HedgedCall;

function wait(ms: number): void {
  clock.advance(ms);
  mock.timers.tick(ms);
}

function begin(hasSecond = true): void {
  first = new Endpoint('first');
  second = new Endpoint('second');
  const place = hasSecond ? { slot: 2, connections: second, startUs: 0 } : null;
  const owner = new Owner(place);
  call = new HedgedCall(owner, owner, first, new DelayLine(clock), 20);
}

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  events = [];
  clock = new FakeClock();
  begin();
});

afterEach(() => mock.timers.reset());

test('an answer in time: nothing is sent a second time', () => {
  wait(19);
  first.handler!.onHead(OK);
  wait(100);
  first.handler!.onEnd('');
  assert.deepEqual(events, ['first asked', 'head 200', 'end']);
});

test('the first answers after all: the second is given up and its place given back', () => {
  wait(20);
  assert.equal(second.mayQueue, false);
  first.handler!.onHead(OK);
  first.handler!.onBody(new Uint8Array(1));
  call.resume();
  assert.deepEqual(events, [
    'first asked',
    'second asked',
    'second given up',
    'hedge lost: null',
    'head 200',
    'body',
    'first resumed',
  ]);
  call.abort();
  assert.deepEqual(events.slice(7), ['first given up']);
});

test('the second answers first: it is the only one from then on', () => {
  wait(20);
  second.handler!.onHead(OK);
  second.handler!.onBody(new Uint8Array(1));
  call.resume();
  second.handler!.onEnd('');
  assert.deepEqual(events, [
    'first asked',
    'second asked',
    'first given up',
    'hedge won, first slow',
    'head 200',
    'body',
    'second resumed',
    'end',
  ]);
});

test('a failure is not passed on while the first may still answer', () => {
  wait(20);
  second.handler!.onHead(FAILURE);
  first.handler!.onHead(OK);
  assert.deepEqual(events, [
    'first asked',
    'second asked',
    'second given up',
    'hedge lost: null',
    'head 200',
  ]);
});

test('the first fails while the second runs: the second goes on alone', () => {
  wait(20);
  first.handler!.onError('reset');
  second.handler!.onHead(FAILURE);
  assert.deepEqual(events, [
    'first asked',
    'second asked',
    'first failed: reset',
    'hedge won',
    'head 503',
  ]);
  call.abort();
  assert.deepEqual(events.slice(5), ['second given up']);
});

test('both fail: the exchange learns of each once', () => {
  wait(20);
  first.handler!.onError('reset');
  second.handler!.onError('refused');
  assert.deepEqual(events.slice(2), ['first failed: reset', 'hedge won', 'error refused']);
  events = [];
  begin();
  wait(20);
  second.handler!.onError('refused');
  first.handler!.onError('reset');
  assert.deepEqual(events.slice(2), ['hedge lost: refused', 'error reset']);
});

test('a failure before the delay is the exchange’s, and nothing is sent a second time', () => {
  first.handler!.onError('refused');
  wait(100);
  assert.deepEqual(events, ['first asked', 'error refused']);
});

test('given up by the exchange: both calls end, the hedge’s place is given back', () => {
  wait(20);
  call.abort();
  assert.deepEqual(events.slice(2), ['first given up', 'second given up', 'hedge lost: null']);
  events = [];
  begin();
  call.abort();
  wait(100);
  assert.deepEqual(events, ['first asked', 'first given up']);
});

test('without room in the budget or another endpoint the first is waited for', () => {
  call.abort();
  events = [];
  begin(false);
  wait(100);
  first.handler!.onHead(OK);
  assert.deepEqual(events, ['first asked', 'head 200']);
});

test('displaced before the delay, the exchange places it anew; with a second call that goes on', () => {
  first.handler!.onDisplaced();
  assert.deepEqual(events, ['first asked', 'displaced']);
  events = [];
  begin();
  wait(20);
  first.handler!.onDisplaced();
  assert.deepEqual(events.slice(2), ['hedge won']);
});
