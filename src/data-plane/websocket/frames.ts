// WebSocket frames as they are written: opcodes, close codes, and the making of frames. Reading is frame-reader.ts.
// Source: RFC 6455 § 5, § 7.4. On a worker thread.
import { randomFillSync } from 'node:crypto';

export const OPCODE_CONTINUATION = 0x0;
export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_CLOSE = 0x8;
export const OPCODE_PING = 0x9;
export const OPCODE_PONG = 0xa;

export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_PROTOCOL_ERROR = 1002;
/** Never sent: stands for a close frame without a code. */
export const CLOSE_NO_CODE = 1005;
/** Never sent: stands for a connection that went without a close frame. */
export const CLOSE_ABNORMAL = 1006;
/** Text that is no UTF-8, for one. */
export const CLOSE_INVALID_DATA = 1007;
export const CLOSE_TOO_BIG = 1009;
/** Source: IANA's WebSocket Close Code Number Registry. */
export const CLOSE_TRY_AGAIN_LATER = 1013;

/** Payload bytes of a control frame at most. */
export const CONTROL_BYTES_MAX = 125;
const MASK_BYTES = 4;
const FINAL_BIT = 0x80;
const MASK_BIT = 0x80;
/** In place of a length: it follows in 2 or in 8 bytes. */
const LENGTH_IN_2 = 126;
const LENGTH_IN_8 = 127;
/** Masks drawn at a time: a call of the system's generator costs more than the bytes. */
const MASK_POOL_BYTES = 4096;

const maskPool: Buffer = Buffer.allocUnsafeSlow(MASK_POOL_BYTES);
let maskAt = MASK_POOL_BYTES;

/** Whether a close frame may carry the code. Source: RFC 6455 § 7.4, IANA's registry. */
export function isSendableCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

/** The payload of a close frame. @param code CLOSE_NO_CODE = none. @param reason UTF-8, 123 bytes at most. */
export function closePayload(code: number, reason: Uint8Array | string = ''): Buffer {
  if (code === CLOSE_NO_CODE) return Buffer.alloc(0);
  const text = Buffer.from(reason as string);
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code);
  text.copy(payload, 2);
  return payload;
}

/**
 * One whole frame.
 * @param isMasked as a client sends it, with a mask of its own; else as a server does.
 */
export function encodeFrame(
  opcode: number,
  payload: Uint8Array,
  isMasked: boolean,
  isFinal = true,
): Buffer {
  const { length } = payload;
  const lengthBytes = length < LENGTH_IN_2 ? 0 : length < 65_536 ? 2 : 8;
  const payloadAt = 2 + lengthBytes + (isMasked ? MASK_BYTES : 0);
  const frame = Buffer.allocUnsafe(payloadAt + length);
  frame[0] = (isFinal ? FINAL_BIT : 0) | opcode;
  const marked = lengthBytes === 0 ? length : lengthBytes === 2 ? LENGTH_IN_2 : LENGTH_IN_8;
  frame[1] = (isMasked ? MASK_BIT : 0) | marked;
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2);
  else if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.set(payload, payloadAt);
  if (isMasked) maskInPlace(frame, payloadAt - MASK_BYTES, payloadAt);
  return frame;
}

/** Draws a mask, writes it at `maskStart` and applies it from `payloadAt` to the end. */
function maskInPlace(frame: Buffer, maskStart: number, payloadAt: number): void {
  if (maskAt === MASK_POOL_BYTES) {
    randomFillSync(maskPool);
    maskAt = 0;
  }
  for (let index = 0; index < MASK_BYTES; index++) {
    frame[maskStart + index] = maskPool[maskAt + index]!;
  }
  maskAt += MASK_BYTES;
  for (let index = payloadAt; index < frame.length; index++) {
    frame[index]! ^= frame[maskStart + ((index - payloadAt) & 3)]!;
  }
}
