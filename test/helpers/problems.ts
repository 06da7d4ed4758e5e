// Reads what is wrong with a configuration, for assertions.
import assert from 'node:assert/strict';
import { InputError, type Problem } from '../../src/errors.ts';

/** The problems of an action that must fail with an InputError. */
export function problemsOf(action: () => unknown): readonly Problem[] {
  try {
    action();
  } catch (error) {
    if (error instanceof InputError) return error.problems;
    throw error;
  }
  return assert.fail('expected an InputError');
}
