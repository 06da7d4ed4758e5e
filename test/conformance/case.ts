// What a conformance case is: bytes that a client sends, what the RFCs ask for, and which outcomes satisfy them.
// The cases are data (cases/*.ts); run.ts plays them, report.ts writes the table.

/** The listener engines the cases are played on. */
export const LISTENER_ENGINES = ['uws', 'node'] as const;
export type ListenerEngine = (typeof LISTENER_ENGINES)[number];

/** An outcome that is not what the RFC asks for, and why it is accepted from that engine. */
export interface Deviation {
  /** Exactly what happens; anything else fails. */
  readonly outcome: string;
  readonly reason: string;
  /** A race decides between this and an accepted outcome. */
  readonly isSometimes?: boolean;
  /**
   * What the backend then sees, as bytes of a well-formed client. Only for an engine whose parser hides the
   * difference from us; the reason says so.
   */
  readonly backendReads?: string;
}

/**
 * One case. An outcome is the final statuses in order, then what became of the connection: `200 keep` (a request
 * sent afterwards is answered), `400 close`, `none close` (no answer), `none stall` (neither an answer nor an end
 * before the deadline: the listener waits for more).
 */
export interface ConformanceCase {
  readonly name: string;
  /** Where it is required, `RFC 9112 §6.3`. */
  readonly source: string;
  /** What is required there, in a sentence. */
  readonly requires: string;
  /** latin1: one character a byte. Pieces are written one after the other, each in a packet of its own. */
  readonly send: string | readonly string[];
  /** The last piece is written once those before it have their answer: however busy the machine, they do not come together. */
  readonly isAnsweredBetween?: boolean;
  /** Outcomes that satisfy the requirement. */
  readonly accept: readonly string[];
  /**
   * The same message as a strict client would have sent it, where the RFC lets a recipient be lenient. Without it
   * the backend may see what a strict reader makes of `send`, and nothing from the first error on.
   */
  readonly mayReadAs?: string;
  readonly deviations?: Partial<Readonly<Record<ListenerEngine, Deviation>>>;
}

/** All that the client sends. */
export function sentBytes({ send }: ConformanceCase): string {
  return typeof send === 'string' ? send : send.join('');
}

/** A message's head: lines joined by CRLF, and the empty line. */
export function head(...lines: string[]): string {
  return lines.join('\r\n') + '\r\n\r\n';
}

/** `GET /case` with a Host and further header lines. */
export function get(...headers: string[]): string {
  return head('GET /case HTTP/1.1', 'Host: a.example', ...headers);
}

/** `POST /case` with a Host, further header lines, and a body. */
export function post(headers: readonly string[], body: string): string {
  return head('POST /case HTTP/1.1', 'Host: a.example', ...headers) + body;
}

/** A chunked POST whose body is what is given, byte for byte. */
export function chunked(body: string): string {
  return post(['Transfer-Encoding: chunked'], body);
}
