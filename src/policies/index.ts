// What the planes need of the policies: the pick for workers, tables and names for the primary.
export { type TableEndpoint, type TableOptions, buildTables } from './build-tables.ts';
export { type EndpointScore, type SkipReason, scoreEndpoints } from './explain.ts';
export { pickEndpoint } from './pick.ts';
export { POLICY_NAMES, isKeyed, policyIdOf } from './registry.ts';
export { WhatIf, type WhatIfReport } from './what-if.ts';
export { smoothPeriod } from './smooth-period.ts';
export { ENDPOINTS_FULL, NO_ENDPOINT } from '../shared-state/upstream-table.ts';
