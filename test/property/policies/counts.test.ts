// Whatever happens to requests in whatever order, the shared counts say what is in flight, caps hold, and
// everything is 0 in the end. Three workers' views of one upstream are driven by random commands.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { PolicyName } from '../../../src/config/config.ts';
import { ENDPOINTS_FULL, POLICY_NAMES, pickEndpoint } from '../../../src/policies/index.ts';
import { mix32 } from '../../../src/policies/key-hash.ts';
import { SeededRandom } from '../../../src/random.ts';
import { reclaimStripe } from '../../../src/shared-state/accounting.ts';
import { FLAG_EJECTED, LIVE_WORDS } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import {
  type EndpointSketch,
  TestUpstream,
  type WorkerView,
  openView,
} from '../../helpers/table.ts';

const WORKERS = 3;
const CAPS = [1, 2, 0, 3, 8, 2];
const SKETCHES: EndpointSketch[] = CAPS.map((cap, index) => ({
  cap,
  weight: 1 + (index % 3),
  backup: index > 3,
  zone: 1 + (index % 2),
}));

/** A request in flight: what it was picked by, so that a retry tries somebody else. */
interface Flight {
  readonly request: PickRequest;
  slot: number;
}

interface Command {
  readonly kind: 'pick' | 'settle' | 'retry' | 'crash' | 'flag' | 'publish';
  readonly worker: number;
  readonly value: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('pick' as const) },
    { weight: 3, arbitrary: fc.constant('settle' as const) },
    { weight: 2, arbitrary: fc.constant('retry' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('crash' as const, 'flag' as const, 'publish' as const),
    },
  ),
  worker: fc.nat(WORKERS - 1),
  value: fc.nat(1_000_000),
});

class Model {
  readonly upstream: TestUpstream;
  private readonly views: WorkerView[] = [];
  private readonly flights: Flight[][] = [];
  private readonly random = new SeededRandom(1);
  private time = 0;

  constructor(policy: PolicyName) {
    this.upstream = new TestUpstream(policy, SKETCHES, {
      workers: WORKERS,
      ownZone: 1,
      options: { balanceFactor: 1.25, halfLifeMs: 50, tableSize: 101 },
    });
    for (let worker = 0; worker < WORKERS; worker++) {
      this.views.push(openView(this.upstream.state.buffers, worker));
      this.flights.push([]);
    }
  }

  run({ kind, worker, value }: Command): void {
    const flights = this.flights[worker]!;
    const view = this.views[worker]!;
    const place = value % Math.max(1, flights.length);
    this.time += value % 20;
    switch (kind) {
      case 'pick': {
        const flight = { request: new PickRequest(), slot: -1 };
        flight.request.keyHash = mix32(value);
        if (value % 7 === 0) flight.request.preferredSlot = value % CAPS.length;
        if (this.pick(view, flight)) flights.push(flight);
        return;
      }
      case 'settle': {
        const [flight] = flights.splice(place, 1);
        if (flight !== undefined) view.accounting.releaseEndpoint(flight.slot);
        return;
      }
      case 'retry': {
        const flight = flights[place];
        if (flight === undefined) return;
        flight.request.addTried(flight.slot);
        view.accounting.releaseEndpoint(flight.slot);
        if (!this.pick(view, flight)) flights.splice(place, 1);
        return;
      }
      case 'crash':
        view.accounting.retire();
        // Settling late, while the worker goes down, must not count any more.
        if (flights.length > 0) view.accounting.releaseEndpoint(flights[place]!.slot);
        assert.equal(reclaimStripe(this.upstream.state, worker), flights.length);
        flights.length = 0;
        this.views[worker] = openView(this.upstream.state.buffers, worker);
        return;
      case 'flag': {
        const slot = value % CAPS.length;
        if (value % 2 === 0) changeFlags(this.upstream.state, slot, FLAG_EJECTED, 0);
        else changeFlags(this.upstream.state, slot, 0, FLAG_EJECTED);
        return;
      }
      case 'publish': {
        for (const each of this.views) each.reader.adopt();
        this.upstream.publish(POLICY_NAMES[value % POLICY_NAMES.length]!, SKETCHES);
        // The others adopt later, as workers do.
        view.reader.adopt();
      }
    }
  }

  check(): void {
    const expected = CAPS.map(() => 0);
    for (const flight of this.flights.flat()) expected[flight.slot]!++;
    assert.deepEqual(this.upstream.actives(), expected);
    for (const [slot, cap] of CAPS.entries()) assert.ok(cap === 0 || expected[slot]! <= cap);
  }

  finish(): void {
    for (const [worker, flights] of this.flights.entries()) {
      for (const flight of flights) this.views[worker]!.accounting.releaseEndpoint(flight.slot);
      flights.length = 0;
      assert.ok(this.upstream.state.stripeOf(worker).every((held) => held === 0));
    }
    this.check();
    assert.equal(this.upstream.state.upstreams.length, LIVE_WORDS);
  }

  private pick(view: WorkerView, flight: Flight): boolean {
    flight.request.nowMs = this.time;
    const index = pickEndpoint(view.table, flight.request, this.random);
    if (index < 0) {
      if (index === ENDPOINTS_FULL) this.assertFull(view, flight.request);
      return false;
    }
    flight.slot = view.table.slotAt(index);
    assert.ok(view.table.isCandidate(index, flight.request));
    return true;
  }

  /** ENDPOINTS_FULL is said only when every primary that could be picked is at its cap. */
  private assertFull({ table }: WorkerView, request: PickRequest): void {
    for (let index = 0; index < table.primaryCount; index++) {
      if (!table.isCandidate(index, request)) continue;
      assert.ok(table.capAt(index) > 0 && table.activeAt(index) >= table.capAt(index));
    }
  }
}

describe('counts of what is in flight', () => {
  it('are true after any interleaving of pick, settle, retry, crash, ejection and publication', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...POLICY_NAMES),
        fc.array(command, { minLength: 1, maxLength: 120 }),
        (policy, commands) => {
          const model = new Model(policy);
          for (const each of commands) {
            model.run(each);
            model.check();
          }
          model.finish();
        },
      ),
      { numRuns: 150 },
    );
  });
});
