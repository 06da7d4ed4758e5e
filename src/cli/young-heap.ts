// Keeps the primary's heap small while the program loads. V8 doubles the space for new objects while much of it survives,
// which is what loading modules looks like, and does not give it back to a thread that then has little to do: 20 MB
// for nothing. Imported before everything else.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--semi-space-growth-factor=1');

/** From now on that space grows as ever, in all threads: for those that have work to do. */
export function letYoungHeapGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
}
