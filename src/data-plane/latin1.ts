// Texts whose characters are bytes, and bytes as such texts. On a worker thread.

/** Looked up once: a method of a buffer is far up a long chain of prototypes. To be called on the bytes. */
export const latin1Slice: Buffer['latin1Slice'] = Buffer.prototype.latin1Slice;

const ABOVE = /[^\x00-\xff]/g; // oxlint-disable-line no-control-regex -- all bytes are meant

/**
 * Bytes of a text that is known to have only characters that are bytes. Should one be none, it becomes a question mark: its low
 * byte, which is what Buffer takes, may be CR or LF.
 */
export function latin1Bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(ABOVE, '?'), 'latin1');
}

/** The same text, of which V8 does not remember the parts that it was put together from. @param text latin1. */
export function inOnePiece(text: string): string {
  return latin1Bytes(text).toString('latin1');
}
