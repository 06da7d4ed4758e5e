import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlsIn, firstOf, KnownText, othersIn } from '../../../src/data-plane/http1-bytes.ts';

const NAMES = [
  'te',
  'a-b',
  'host',
  'close',
  'upgrade',
  'keep-alive',
  'content-length',
  'transfer-encoding',
];

/** Of exactly this length: what is read beyond it would throw. */
function memoryOf(bytes: Uint8Array): DataView {
  return new DataView(Uint8Array.from(bytes).buffer);
}

for (const name of NAMES) {
  test(`${name} is found in any case, and nothing but it`, () => {
    const known = new KnownText(name);
    const upper = name.toUpperCase();
    for (const text of [name, upper, upper[0] + name.slice(1), name.slice(0, -1) + upper.at(-1)]) {
      assert.ok(known.isAt(memoryOf(Buffer.from(text)), 0), text);
    }
    assert.ok(known.isAt(memoryOf(Buffer.from(`..${name}`)), 2));
    for (let place = 0; place < name.length; place++) {
      for (let byte = 0; byte < 256; byte++) {
        if (byte < 0x20 && byte !== 0x09) continue;
        const bytes = Buffer.from(name);
        bytes[place] = byte;
        const isSame = byte === name.charCodeAt(place) || byte === upper.charCodeAt(place);
        assert.equal(known.isAt(memoryOf(bytes), 0), isSame, `${byte} at ${place}`);
      }
    }
  });
}

test('the bits of a word name exactly the bytes that are meant, whatever is beside them', () => {
  const isControl = (byte: number): boolean => byte < 0x20 || byte === 0x7f;
  const isOther = (byte: number): boolean => isControl(byte) || byte > 0x7f;
  const beside = [0x00, 0x1f, 0x20, 0x41, 0x7e, 0x7f, 0x80, 0xff];
  for (let byte = 0; byte < 256; byte++) {
    for (const before of beside) {
      for (const behind of beside) {
        const bytes = [before, byte, behind, byte];
        const word = memoryOf(Uint8Array.from(bytes)).getInt32(0, true);
        for (const [bitsIn, isMeant] of [
          [controlsIn, isControl],
          [othersIn, isOther],
        ] as const) {
          const bits = bitsIn(word);
          const found = bytes.map((_, index) => ((bits >>> (8 * index)) & 0xff) === 0x80);
          assert.deepEqual(found, bytes.map(isMeant), bytes.join(' '));
          assert.equal(bits & 0x7f7f7f7f, 0);
          if (bits !== 0) assert.equal(firstOf(bits), bytes.findIndex(isMeant));
        }
      }
    }
  }
});
