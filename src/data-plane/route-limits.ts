// The rate limits of one route, in one worker: whose key each counts by, and what they say of a request. Those kept on
// this machine are judged at once; those kept by a remote store are asked in one call, or judged here while it is away.
import type { RateLimit } from '../limits/rate-limit.ts';
import { chargeAll } from '../limits/rate-limit.ts';
import { CLIENT_KEY_MAX, redisKey, scriptArguments, takeAnswer } from '../limits/redis-script.ts';
import {
  LIMIT_ALLOWED,
  LIMIT_DELAYED,
  LIMIT_LOCAL,
  LIMIT_REFUSED,
} from '../shared-state/limit-table.ts';
import type { RedisStore, StoreCall } from './redis-store.ts';
import type { ReadKey } from './request-key.ts';
import type { RequestReader } from './request-reader.ts';

/** A limit as a route applies it. */
export interface AppliedLimit {
  readonly limit: RateLimit;
  readonly readKey: ReadKey;
  /** null: kept on this machine. */
  readonly store: RedisStore | null;
}

/** A request that waits for a remote store. */
export interface LimitedRequest {
  /** @param refusing the limit that refuses it; null = it may go after `delayMs`. */
  onLimits(refusing: RateLimit | null, delayMs: number): void;
}

export class RouteLimits {
  private readonly local: readonly AppliedLimit[];
  private readonly remote: readonly AppliedLimit[];
  private readonly localLimits: readonly RateLimit[];
  private readonly allLimits: readonly RateLimit[];
  private readonly store: RedisStore | null;
  private readonly digest: (key: string) => string;
  /** After charge(): ask() is to follow. */
  mustAsk: boolean;
  /** After charge(): how long the request must wait. */
  delayMs: number;

  /** @param digest shortens long keys for a remote store; the same on all machines. */
  constructor(applied: readonly AppliedLimit[], digest: (key: string) => string) {
    this.local = applied.filter(({ store }) => store === null);
    this.remote = applied.filter(({ store }) => store !== null);
    this.localLimits = this.local.map(({ limit }) => limit);
    this.allLimits = [...this.local, ...this.remote].map(({ limit }) => limit);
    // One store a route: the configuration is refused otherwise.
    this.store = this.remote[0]?.store ?? null;
    this.digest = digest;
    this.mustAsk = false;
    this.delayMs = 0;
  }

  /**
   * Charges a request to all limits that are judged here, or to none.
   * @returns the limit that refuses it; null = it may go, after `delayMs`, or when ask() has allowed it.
   */
  charge(reader: RequestReader, nowUs: number): RateLimit | null {
    setKeys(this.local, reader);
    this.mustAsk = this.store?.isAvailable === true;
    if (!this.mustAsk) setKeys(this.remote, reader);
    const limits = this.mustAsk ? this.localLimits : this.allLimits;
    const refusing = chargeAll(limits, nowUs);
    this.delayMs = refusing === null ? longestDelay(limits) : 0;
    if (refusing !== null) {
      refusing.count(LIMIT_REFUSED);
    } else if (!this.mustAsk) {
      this.countAllowed(this.delayMs);
    }
    if (!this.mustAsk) for (const { limit } of this.remote) limit.count(LIMIT_LOCAL);
    return refusing;
  }

  /**
   * Asks the store for the remaining limits of the request just charged.
   * @param nowUs reads the clock again, should the store not answer.
   * @returns what the request is to cancel when it ends before.
   */
  ask(reader: RequestReader, owner: LimitedRequest, nowUs: () => number): LimitCall {
    const call = new LimitCall(this, reader, owner, nowUs);
    this.store!.ask(call);
    return call;
  }

  /** The store's part of a call. */
  describe(reader: RequestReader): {
    readonly asked: readonly RateLimit[];
    readonly keys: readonly string[];
    readonly keysHere: readonly string[];
    readonly keysThere: readonly string[];
  } {
    const asked: RateLimit[] = [];
    const keys: string[] = [];
    const keysThere = this.remote.map(({ readKey }) => readKey(reader));
    for (const [index, { limit }] of this.remote.entries()) {
      const key = keysThere[index]!;
      // As everywhere: without a key nothing is counted.
      if (key === '') continue;
      asked.push(limit);
      keys.push(redisKey(limit, key.length > CLIENT_KEY_MAX ? this.digest(key) : key));
    }
    return { asked, keys, keysHere: this.local.map(({ readKey }) => readKey(reader)), keysThere };
  }

  /** The store did not answer: its limits are judged here. @returns as charge(). */
  chargeInstead(keys: readonly string[], nowUs: number): RateLimit | null {
    const limits = this.remote.map(({ limit }) => limit);
    for (const [index, { limit }] of this.remote.entries()) {
      limit.setKey(keys[index]!);
      limit.count(LIMIT_LOCAL);
    }
    return chargeAll(limits, nowUs);
  }

  /** The store refused a request that had been charged here. */
  refund(keys: readonly string[]): void {
    for (const [index, { limit }] of this.local.entries()) {
      limit.setKey(keys[index]!);
      limit.refund();
    }
  }

  /** A request may go, after a wait where `delayMs` is above 0. */
  countAllowed(delayMs: number): void {
    for (const limit of this.allLimits) {
      limit.count(LIMIT_ALLOWED);
      if (delayMs > 0) limit.count(LIMIT_DELAYED);
    }
  }
}

/** A request's question to the remote store. */
export class LimitCall implements StoreCall {
  readonly keys: readonly string[];
  readonly parameters: readonly string[];
  private readonly route: RouteLimits;
  private readonly asked: readonly RateLimit[];
  private readonly keysHere: readonly string[];
  private readonly keysThere: readonly string[];
  private readonly delayMs: number;
  private readonly nowUs: () => number;
  private owner: LimitedRequest | null;

  constructor(
    route: RouteLimits,
    reader: RequestReader,
    owner: LimitedRequest,
    nowUs: () => number,
  ) {
    const { asked, keys, keysHere, keysThere } = route.describe(reader);
    this.keys = keys;
    this.parameters = asked.flatMap(scriptArguments);
    this.route = route;
    this.asked = asked;
    this.keysHere = keysHere;
    this.keysThere = keysThere;
    this.delayMs = route.delayMs;
    this.nowUs = nowUs;
    this.owner = owner;
  }

  /** The request has ended: its charge stays, its verdict interests nobody. */
  cancel(): void {
    this.owner = null;
  }

  onAnswer(answer: unknown): void {
    const { owner, route } = this;
    if (owner === null) return;
    this.owner = null;
    const said = answer === null ? undefined : takeAnswer(this.asked, answer);
    const refusing = said === undefined ? route.chargeInstead(this.keysThere, this.nowUs()) : said;
    if (refusing !== null) {
      route.refund(this.keysHere);
      refusing.count(LIMIT_REFUSED);
      return owner.onLimits(refusing, 0);
    }
    const delayMs = Math.max(this.delayMs, longestDelay(this.asked));
    route.countAllowed(delayMs);
    owner.onLimits(null, delayMs);
  }
}

function setKeys(applied: readonly AppliedLimit[], reader: RequestReader): void {
  for (const { limit, readKey } of applied) limit.setKey(readKey(reader));
}

function longestDelay(limits: readonly RateLimit[]): number {
  let delayMs = 0;
  for (const limit of limits) delayMs = Math.max(delayMs, limit.delayMs);
  return delayMs;
}
