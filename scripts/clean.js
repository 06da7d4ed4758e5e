// Removes the compiled output before a build: a test whose source is gone must not run on from dist/.
import { rmSync } from 'node:fs';

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true });
