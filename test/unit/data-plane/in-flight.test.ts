import { test } from 'node:test';
import assert from 'node:assert/strict';
import { type ForwardedRequest, InFlight } from '../../../src/data-plane/in-flight.ts';

class Request implements ForwardedRequest {
  inFlightPrevious: ForwardedRequest | null = null;
  inFlightNext: ForwardedRequest | null = null;
  readonly told: number[] = [];
  onTold: () => void = () => undefined;

  leaveEndpoint(slot: number): void {
    this.told.push(slot);
    this.onTold();
  }
}

function told(requests: readonly Request[]): number[] {
  return requests.map((request) => request.told.length);
}

test('tells those in the list, wherever others left it', () => {
  const list = new InFlight();
  const requests = Array.from({ length: 5 }, () => new Request());
  for (const request of requests) list.add(request);
  for (const index of [4, 2, 0]) list.remove(requests[index]!);
  list.leaveEndpoint(7);
  assert.deepEqual(told(requests), [0, 1, 0, 1, 0]);
  assert.deepEqual(requests[1]!.told, [7]);
  list.add(requests[2]!);
  list.remove(requests[1]!);
  list.remove(requests[3]!);
  list.leaveEndpoint(7);
  assert.deepEqual(told(requests), [0, 1, 1, 1, 0]);
  list.remove(requests[2]!);
  list.leaveEndpoint(7);
  assert.deepEqual(told(requests), [0, 1, 1, 1, 0]);
});

test('a request may leave the list, and others with it, while it is told', () => {
  const list = new InFlight();
  const requests = Array.from({ length: 3 }, () => new Request());
  for (const request of requests) list.add(request);
  requests[1]!.onTold = () => {
    list.remove(requests[1]!);
    list.remove(requests[0]!);
  };
  list.leaveEndpoint(1);
  assert.deepEqual(told(requests), [1, 1, 1]);
  list.leaveEndpoint(1);
  assert.deepEqual(told(requests), [1, 1, 2]);
});
