// What ties a request to an endpoint: the key of a hashing policy and the sticky cookie. Fills in the pick request, and
// writes the cookie when the client is not where its cookie said. One an upstream and structure, on a worker thread.
import type { UpstreamConfig } from '../config/config.ts';
import { isKeyed } from '../policies/index.ts';
import { hashKey, stickyToken } from '../policies/key-hash.ts';
import type { Random } from '../random.ts';
import { NO_SLOT, type PickRequest, type UpstreamTable } from '../shared-state/upstream-table.ts';
import type { StructureEndpoint } from '../worker-messages.ts';
import { type ReadKey, cookieValue, keyReader } from './request-key.ts';
import type { RequestReader } from './request-reader.ts';

export class Affinity {
  private readonly readKey: ReadKey;
  private readonly cookie: string;
  /** What follows the cookie's value. */
  private readonly attributes: string;
  private readonly slots: Map<string, number>;
  /** By slot. */
  private readonly tokens: Map<number, string>;

  constructor(config: UpstreamConfig, endpoints: readonly StructureEndpoint[]) {
    this.readKey = keyReader(config.hash.key, '');
    this.cookie = config.sticky?.cookie ?? '';
    this.attributes = attributesOf(config.sticky?.ttlMs ?? 0);
    this.slots = new Map();
    this.tokens = new Map();
    if (this.cookie === '') return;
    for (const { slot, endpoint } of endpoints) {
      const token = stickyToken(endpoint.address.text);
      this.slots.set(token, slot);
      this.tokens.set(slot, token);
    }
  }

  /** A request without the key is spread by chance: all of them on one endpoint would be nobody's wish. */
  describe(pick: PickRequest, reader: RequestReader, table: UpstreamTable, random: Random): void {
    if (isKeyed(table.policyId)) {
      const key = this.readKey(reader);
      pick.keyHash = key === '' ? (random.next() * 0x100000000) | 0 : hashKey(key);
    }
    if (this.cookie === '') return;
    const token = cookieValue(reader.headerValue('cookie'), this.cookie);
    pick.preferredSlot = this.slots.get(token) ?? NO_SLOT;
  }

  /** Whether the request's sticky cookie names an endpoint of this upstream. */
  isNamedBy(reader: RequestReader): boolean {
    if (this.cookie === '') return false;
    return this.slots.has(cookieValue(reader.headerValue('cookie'), this.cookie));
  }

  /** Responses may have to be marked. */
  get isSticky(): boolean {
    return this.cookie !== '';
  }

  /** @returns the response's header block, with the cookie when the client has to be told a new endpoint. */
  mark(block: string, preferredSlot: number, slot: number): string {
    if (this.cookie === '' || slot === preferredSlot) return block;
    const token = this.tokens.get(slot);
    if (token === undefined) return block;
    const line = `Set-Cookie: ${this.cookie}=${token}${this.attributes}`;
    return block === '' ? line : `${block}\r\n${line}`;
  }
}

function attributesOf(ttlMs: number): string {
  const maxAge = ttlMs === 0 ? '' : `; Max-Age=${Math.ceil(ttlMs / 1000)}`;
  return `; Path=/${maxAge}; HttpOnly; SameSite=Lax`;
}
