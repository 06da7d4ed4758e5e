// The fault matrix on the undici engine: the reference for what wire does.
import { testMatrix } from '../faults/suite.ts';

testMatrix('undici');
