// The fault matrix as tests: one for each row, with every scene of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CASES, type Result, SCENES, type Scene } from './matrix.ts';
import { FaultField } from './run.ts';

/** Registers the tests of one upstream engine. */
export function testMatrix(engine: 'wire' | 'undici'): void {
  describe(`faults of an endpoint, ${engine}`, () => {
    let field: FaultField;

    before(async () => {
      field = await FaultField.start(engine);
    });

    after(() => field.stop());

    for (const one of CASES) {
      test(`${one.fault} ${one.position}: ${one[engine].get.outcome}`, async () => {
        const found: Partial<Record<Scene, Result>> = {};
        for (const scene of Object.keys(SCENES) as Scene[]) {
          found[scene] = await field.run(one, scene);
        }
        assert.deepEqual(found, one[engine]);
      });
    }
  });
}
