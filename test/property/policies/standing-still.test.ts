// Whatever endpoints stand still, are down or full: who may be sent only once goes to one that moves if there is any.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { POLICY_NAMES, isKeyed, pickEndpoint } from '../../../src/policies/index.ts';
import { policyIdOf } from '../../../src/policies/registry.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_EJECTED } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { expectAnswer, learnUsual } from '../../../src/shared-state/standing-still.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { TestUpstream } from '../../helpers/table.ts';

const NOW_MS = 5000;
const policies = POLICY_NAMES.filter((policy) => !isKeyed(policyIdOf(policy)));
const endpoint = fc.record({
  weight: fc.integer({ min: 1, max: 5 }),
  isStanding: fc.boolean(),
  isOut: fc.boolean(),
  isFull: fc.boolean(),
});

describe('picks that cannot be repeated', () => {
  it('take an endpoint that stands still only when there is no other', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...policies),
        fc.array(endpoint, { minLength: 1, maxLength: 80 }),
        fc.integer(),
        (policy, endpoints, seed) => {
          const upstream = new TestUpstream(
            policy,
            endpoints.map(({ weight }) => ({ weight, cap: 2 })),
          );
          const { state, accounting, table } = upstream;
          for (const [slot, { isStanding, isOut, isFull }] of endpoints.entries()) {
            if (isStanding) {
              learnUsual(state, slot, 1000);
              accounting.reserveEndpoint(slot, 0);
              expectAnswer(state, slot, NOW_MS - 100);
            }
            if (isFull) while (accounting.reserveEndpoint(slot, 2));
            if (isOut) changeFlags(state, slot, FLAG_EJECTED, 0);
          }
          const before = upstream.actives();
          const request = new PickRequest();
          request.isSentOnce = true;
          request.nowMs = NOW_MS;
          const index = pickEndpoint(table, request, new SeededRandom(seed));
          const free = endpoints.filter(({ isOut, isFull }) => !isOut && !isFull);
          assert.equal(index >= 0, free.length > 0);
          assert.equal(request.avoidsStanding, false);
          if (index < 0) return assert.deepEqual(upstream.actives(), before);
          const slot = table.slotAt(index);
          const picked = endpoints[slot]!;
          assert.ok(free.includes(picked));
          assert.equal(
            picked.isStanding,
            free.every(({ isStanding }) => isStanding),
          );
          before[slot]!++;
          assert.deepEqual(upstream.actives(), before);
        },
      ),
      { numRuns: 400 },
    );
  });
});
