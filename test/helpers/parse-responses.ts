// Runs the response parser over bytes that come in given pieces, as a connection would, and writes down what
// came out of it.
import { ResponseParser } from '../../src/data-plane/upstream/wire/response-parser.ts';

export interface ParsedResponse {
  readonly status: number;
  readonly reason: string;
  readonly headerBlock: string;
  readonly contentLength: number;
  readonly isPersistent: boolean;
  readonly keepAliveMs: number;
  /** latin1 */
  body: string;
  isComplete: boolean;
}

export interface ParseResult {
  readonly responses: ParsedResponse[];
  /** The bytes could not be trusted. */
  readonly isBad: boolean;
  /** The parser is in the middle of a response. */
  readonly isMidResponse: boolean;
}

/**
 * @param methods of the outstanding requests, in order.
 * @param endsWithClose the upstream closes after the last piece.
 */
export function parseResponses(
  pieces: readonly Buffer[],
  methods: readonly string[] = ['GET'],
  endsWithClose = false,
): ParseResult {
  const parser = new ResponseParser();
  const responses: ParsedResponse[] = [];
  let answered = 0;
  for (const original of pieces) {
    // The parser moves bytes about in what it is given; the bytes around the piece are not its business.
    const piece = Buffer.alloc(original.length + 32, 0x58);
    original.copy(piece, 16);
    const end = 16 + original.length;
    let position = 16;
    while (position < end) {
      if (answered === methods.length) return { responses, isBad: true, isMidResponse: false };
      parser.isForHead = methods[answered] === 'HEAD';
      parser.isLast = answered === methods.length - 1;
      position = parser.advance(piece, position, end);
      if (position < 0) return { responses, isBad: true, isMidResponse: parser.isMidResponse };
      if (parser.isHeadReady) {
        const { status, reason, headerBlock, contentLength } = parser.head;
        const { isPersistent, keepAliveMs } = parser.head;
        const head = { status, reason, headerBlock, contentLength, isPersistent, keepAliveMs };
        responses.push({ ...head, body: '', isComplete: false });
      }
      const response = responses.at(-1);
      if (parser.pieceEnd > parser.pieceStart) {
        response!.body += piece.toString('latin1', parser.pieceStart, parser.pieceEnd);
      }
      if (parser.isComplete) {
        response!.isComplete = true;
        answered += 1;
      }
    }
    if (piece.toString('latin1', 0, 16) + piece.toString('latin1', end) !== 'X'.repeat(32)) {
      throw new Error('the parser wrote outside of what it was given');
    }
  }
  if (endsWithClose && parser.finish()) responses.at(-1)!.isComplete = true;
  return { responses, isBad: false, isMidResponse: parser.isMidResponse };
}
