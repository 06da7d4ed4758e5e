// The reader of WebSocket frames under any stream: every split gives the same frames, and what is no WebSocket's is a
// typed error, never a wait and never a throw.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import {
  FRAME_BAD,
  FrameReader,
  RSV_COMPRESSED,
  RSV_NONE,
} from '../../../src/data-plane/websocket/frame-reader.ts';
import {
  CLOSE_PROTOCOL_ERROR,
  CLOSE_TOO_BIG,
  closePayload,
  encodeFrame,
  isSendableCloseCode,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
} from '../../../src/data-plane/websocket/frames.ts';

interface Read {
  readonly opcode: number;
  readonly isFinal: boolean;
  /** As on the wire. */
  readonly payload: string;
  readonly control: string;
}

/** Reads pieces. @returns the frames that ended, and the error code; 0 = none. */
function readAll(
  reader: FrameReader,
  pieces: readonly Uint8Array[],
): { frames: Read[]; error: number } {
  const frames: Read[] = [];
  let payload = '';
  for (const piece of pieces) {
    let position = 0;
    while (position < piece.length) {
      const next = reader.advance(piece, position, piece.length);
      if (next === FRAME_BAD) return { frames, error: reader.errorCode };
      assert.ok(next > position, 'each step goes on');
      payload += Buffer.from(piece.subarray(reader.pieceStart, reader.pieceEnd)).toString('hex');
      position = next;
      if (!reader.isComplete) continue;
      const control = reader.control.subarray(0, reader.isControl ? reader.controlLength : 0);
      frames.push({
        opcode: reader.opcode,
        isFinal: reader.isFinal,
        payload,
        control: control.toString('hex'),
      });
      payload = '';
    }
  }
  return { frames, error: 0 };
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const points = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const to of [...points, bytes.length]) {
    pieces.push(bytes.subarray(from, to));
    from = to;
  }
  return pieces;
}

const control = fc.record({
  opcode: fc.constantFrom(OPCODE_PING, OPCODE_PONG),
  payload: fc.uint8Array({ maxLength: 125 }),
});
const message = fc.record({
  opcode: fc.constantFrom(OPCODE_TEXT, OPCODE_BINARY),
  fragments: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.uint8Array({ maxLength: 300 }) },
      {
        weight: 1,
        arbitrary: fc.integer({ min: 65_000, max: 66_000 }).map((length) => new Uint8Array(length)),
      },
    ),
    { minLength: 1, maxLength: 4 },
  ),
  between: fc.array(control, { maxLength: 2 }),
});
const cuts = fc.array(fc.nat(), { maxLength: 12 });

describe('the reader of WebSocket frames', () => {
  test('every split of every conversation gives the same frames', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 4 }),
        cuts,
        fc.boolean(),
        (messages, at, isMasked) => {
          const bytes: Buffer[] = [];
          const expected: { opcode: number; isFinal: boolean; length: number; control: string }[] =
            [];
          const add = (opcode: number, payload: Uint8Array, isFinal: boolean): void => {
            bytes.push(encodeFrame(opcode, payload, isMasked, isFinal));
            const kept = opcode >= OPCODE_CLOSE ? Buffer.from(payload).toString('hex') : '';
            expected.push({ opcode, isFinal, length: payload.length, control: kept });
          };
          for (const { opcode, fragments, between } of messages) {
            fragments.forEach((fragment, index) => {
              const isLast = index === fragments.length - 1;
              add(index === 0 ? opcode : OPCODE_CONTINUATION, fragment, isLast);
              const inserted = between[index];
              if (inserted !== undefined) add(inserted.opcode, inserted.payload, true);
            });
          }
          add(OPCODE_CLOSE, closePayload(1000, 'grüße'), true);
          const reader = new FrameReader({ isMasked, rsvAllowed: RSV_NONE, messageBytesMax: 0 });
          const { frames, error } = readAll(reader, split(Buffer.concat(bytes), at));
          assert.equal(error, 0);
          assert.deepEqual(
            frames.map(({ opcode, isFinal, payload, control }) => ({
              opcode,
              isFinal,
              length: payload.length / 2,
              control,
            })),
            expected,
          );
          assert.ok(reader.isBetweenFrames);
        },
      ),
    );
  });

  test('a masked payload is what was sent once the mask is taken off', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
        const frame = encodeFrame(OPCODE_BINARY, payload, true);
        const at = frame.length - payload.length;
        const plain = frame.subarray(at).map((byte, index) => byte ^ frame[at - 4 + (index & 3)]!);
        assert.deepEqual(Buffer.from(plain), Buffer.from(payload));
      }),
    );
  });

  test('any bytes end in frames or in a code that can be sent, however they are split', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, fc.boolean(), (bytes, at, isMasked) => {
        const rules = { isMasked, rsvAllowed: RSV_COMPRESSED, messageBytesMax: 1000 };
        const whole = readAll(new FrameReader(rules), [bytes]);
        const inPieces = readAll(new FrameReader(rules), split(bytes, at));
        assert.deepEqual(inPieces, whole);
        assert.ok(whole.error === 0 || isSendableCloseCode(whole.error));
      }),
      { numRuns: 2000 },
    );
  });

  test('after an error nothing is read', () => {
    const reader = new FrameReader({ isMasked: false, rsvAllowed: RSV_NONE, messageBytesMax: 0 });
    const bad = Buffer.from([0x83, 0]);
    assert.equal(reader.advance(bad, 0, bad.length), FRAME_BAD);
    const good = encodeFrame(OPCODE_TEXT, Buffer.from('x'), false);
    assert.equal(reader.advance(good, 0, good.length), FRAME_BAD);
  });

  const refused: readonly (readonly [what: string, bytes: readonly number[], code: number])[] = [
    ['a continuation of nothing', [0x80, 0], CLOSE_PROTOCOL_ERROR],
    ['a message within a message', [0x01, 0, 0x81, 0], CLOSE_PROTOCOL_ERROR],
    ['a reserved opcode', [0x83, 0], CLOSE_PROTOCOL_ERROR],
    ['a reserved control opcode', [0x8b, 0], CLOSE_PROTOCOL_ERROR],
    ['RSV1 that was not agreed on', [0xc1, 0], CLOSE_PROTOCOL_ERROR],
    ['RSV2', [0xa1, 0], CLOSE_PROTOCOL_ERROR],
    ['a mask from a server', [0x81, 0x80, 0, 0, 0, 0], CLOSE_PROTOCOL_ERROR],
    ['a fragmented ping', [0x09, 0], CLOSE_PROTOCOL_ERROR],
    ['a ping of 126 bytes', [0x89, 126, 0, 126], CLOSE_PROTOCOL_ERROR],
    ['a length that is not the shortest, in two bytes', [0x81, 126, 0, 125], CLOSE_PROTOCOL_ERROR],
    [
      'a length that is not the shortest, in eight',
      [0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
      CLOSE_PROTOCOL_ERROR,
    ],
    ['a length with its highest bit', [0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], CLOSE_PROTOCOL_ERROR],
    ['a message over the limit', [0x82, 126, 4, 1], CLOSE_TOO_BIG],
    [
      'a message over the limit in fragments',
      [0x02, 126, 3, 0xe9, ...Array<number>(1001).fill(0), 0x80, 126, 1, 0],
      CLOSE_TOO_BIG,
    ],
    ['a close frame of one byte', [0x88, 1, 3], CLOSE_PROTOCOL_ERROR],
    ['close code 1005', [0x88, 2, 0x03, 0xed], CLOSE_PROTOCOL_ERROR],
    ['close code 2999', [0x88, 2, 0x0b, 0xb7], CLOSE_PROTOCOL_ERROR],
    ['a close reason that is not UTF-8', [0x88, 3, 0x03, 0xe8, 0xff], CLOSE_PROTOCOL_ERROR],
  ];
  for (const [what, bytes, code] of refused) {
    test(`${what} is ${code}`, () => {
      const reader = new FrameReader({
        isMasked: false,
        rsvAllowed: RSV_NONE,
        messageBytesMax: 1024,
      });
      assert.equal(readAll(reader, [Uint8Array.from(bytes)]).error, code);
    });
  }
});
