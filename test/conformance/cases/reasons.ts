// Reasons that several cases share: what uWebSockets.js 20 does before our code sees the request. The `node` engine
// is the remedy for each. And what Node's own parser does.
import { type Deviation, get } from '../case.ts';

/** uWS waits for the rest of what it cannot read; its idle timeout (10 s) closes. Nothing is forwarded. */
export const STALLS: Deviation = {
  outcome: 'none stall',
  reason: 'uWS waits for more instead of answering 400; closed after 10 s, nothing is forwarded',
};

/** uWS answers any request line it cannot read with 505. */
export const ANSWERS_505: Deviation = {
  outcome: '505 close',
  reason: 'uWS answers 505 to every request line that it cannot read; nothing is forwarded',
};

/** What follows in the same packet makes uWS close before the refusal is out. */
export const CLOSES_UNANSWERED: Deviation = {
  outcome: 'none close',
  reason:
    'more bytes follow in the same packet: uWS takes them for a second request and closes before the refusal is out',
  isSometimes: true,
};

/** uWS closes when a request comes before the one before it was answered. */
export const NO_PIPELINING: Deviation = {
  outcome: 'none close',
  reason:
    'uWS closes when a request comes before the last one is answered; RFC 9112 §9.3.2 has a client send again',
  isSometimes: true,
};

/** llhttp, Node's parser, is lenient about the space in a request line. */
export const NODE_SPACES: Deviation = {
  outcome: '200 keep',
  backendReads: get(),
  reason: 'llhttp takes several spaces for one; what is forwarded is well-formed',
};

/** llhttp has a list of methods. */
export const NODE_METHODS: Deviation = {
  outcome: '400 close',
  reason: 'llhttp knows a list of methods and refuses others',
};

/** llhttp wants nothing but spaces before, and nothing behind, a framing value. */
export const NODE_FRAMING_SPACE: Deviation = {
  // Node 22's parser takes it.
  isSometimes: true,
  outcome: '400 close',
  reason: 'llhttp refuses tabs and final space around a framing value',
};

/** Behind a head that was received in more than one piece. */
export const IN_PIECES: Deviation = {
  outcome: '200 close',
  reason:
    'uWS may have hidden a length in a head that came in pieces: it is the last on its connection',
  isSometimes: true,
};
