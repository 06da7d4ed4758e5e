// The fault matrix: what an endpoint can do wrong, where in its answer, and what becomes of the request. Data only: the
// tests send every row through a whole proxy on both engines, and docs/faults.md is written from it.
import {
  type Fault,
  FAULT_POSITIONS,
  FAULTS,
  type FaultPosition,
} from '../helpers/fault-upstream.ts';

/** A client's answer and what it took. */
export interface Result {
  /** `200 whole`; `200 cut`: the connection closes within the body; else the proxy's own status and its reason. */
  readonly outcome: string;
  /** By the proxy, on another endpoint. */
  readonly retries: number;
  /** Requests that endpoints received for it; more than retries + 1 where the engine itself sent it again. */
  readonly sent: number;
}

/** How a request meets the fault, by name; the value is for the page. Both endpoints have it but in `rescued`. */
export const SCENES = {
  get: 'GET, new connection',
  reused: 'GET, kept connection',
  post: 'POST, new connection',
  rescued: 'GET, the other endpoint is sound',
} as const;
export type Scene = keyof typeof SCENES;

/** What comes of a fault in every scene. */
export type Results = Readonly<Record<Scene, Result>>;

export interface FaultCase {
  /** `refuse` has no position: there is no connection. */
  readonly fault: Fault | 'refuse';
  readonly position: FaultPosition;
  readonly wire: Results;
  readonly undici: Results;
}

const WHOLE: Result = { outcome: '200 whole', retries: 0, sent: 1 };
const RESCUED: Result = { outcome: '200 whole', retries: 1, sent: 2 };
const CUT: Result = { outcome: '200 cut', retries: 0, sent: 1 };

const NO_FAULT: Results = { get: WHOLE, reused: WHOLE, post: WHOLE, rescued: WHOLE };
/** Something was passed on already: nothing can be repeated, and the client must see that it is not whole. */
const BROKEN_OFF: Results = { get: CUT, reused: CUT, post: CUT, rescued: CUT };

/** Before anything was passed on: a GET goes to the other endpoint, a POST that was sent does not. */
function failed(outcome: string): Results {
  return {
    get: { outcome, retries: 1, sent: 2 },
    reused: { outcome, retries: 1, sent: 2 },
    post: { outcome, retries: 0, sent: 1 },
    rescued: RESCUED,
  };
}

const REFUSED: Result = { outcome: '502 connect-failure', retries: 1, sent: 0 };
const NEVER_SENT: Results = {
  get: REFUSED,
  reused: REFUSED,
  post: REFUSED,
  rescued: { ...RESCUED, sent: 1 },
};
const RESET = failed('502 reset');
/** An endpoint may close a kept connection at any time: wire sends a safe request again on a new one, once. */
const RESET_ON_REUSE: Results = {
  ...RESET,
  reused: { outcome: '502 reset', retries: 1, sent: 4 },
};
const TIMED_OUT = failed('504 response-timeout');
const REFUSED_ANSWER = failed('502 bad-response');

/** Results by position; a pair is wire, undici. */
type ByPosition = Readonly<
  Record<FaultPosition, Results | readonly [wire: Results, undici: Results]>
>;

const BY_FAULT: Readonly<Record<Fault, ByPosition>> = {
  reset: {
    'before-headers': [RESET_ON_REUSE, RESET],
    'in-headers': RESET,
    'in-body': BROKEN_OFF,
    'between-responses': NO_FAULT,
  },
  close: {
    'before-headers': [RESET_ON_REUSE, RESET],
    'in-headers': RESET,
    'in-body': BROKEN_OFF,
    'between-responses': NO_FAULT,
  },
  stall: {
    'before-headers': TIMED_OUT,
    'in-headers': TIMED_OUT,
    'in-body': BROKEN_OFF,
    'between-responses': NO_FAULT,
  },
  drip: {
    'before-headers': NO_FAULT,
    'in-headers': NO_FAULT,
    'in-body': NO_FAULT,
    'between-responses': NO_FAULT,
  },
  // wire reads all that came before it passes anything on; undici passes on what precedes the fault.
  garbage: {
    'before-headers': REFUSED_ANSWER,
    'in-headers': REFUSED_ANSWER,
    'in-body': [REFUSED_ANSWER, BROKEN_OFF],
    'between-responses': [REFUSED_ANSWER, NO_FAULT],
  },
  oversized: {
    'before-headers': REFUSED_ANSWER,
    'in-headers': REFUSED_ANSWER,
    'in-body': [REFUSED_ANSWER, BROKEN_OFF],
    'between-responses': [REFUSED_ANSWER, NO_FAULT],
  },
};

function caseOf(fault: Fault, position: FaultPosition): FaultCase {
  const results = BY_FAULT[fault][position];
  const [wire, undici] = 'get' in results ? [results, results] : results;
  return { fault, position, wire, undici };
}

/** Every row, in the page's order. */
export const CASES: readonly FaultCase[] = [
  { fault: 'refuse', position: 'before-headers', wire: NEVER_SENT, undici: NEVER_SENT },
  ...FAULTS.flatMap((fault) => FAULT_POSITIONS.map((position) => caseOf(fault, position))),
];
