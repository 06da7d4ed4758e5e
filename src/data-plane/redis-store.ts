// One worker's connection to a Redis or Valkey server that keeps the levels of rate limits for several machines. A
// request waits for its answer; when the server cannot be reached or does not answer in time, the caller is told so
// at once and judges by itself. Whatever comes from the server later says that it is back.
import { createHash } from 'node:crypto';
import type { createClient } from '@redis/client';
import type { Clock } from '../clock.ts';
import { LIMIT_SCRIPT } from '../limits/redis-script.ts';

const SCRIPT_SHA = createHash('sha1').update(LIMIT_SCRIPT).digest('hex');
/** Between two looks at the calls under way, as a share of the timeout: an answer is missed at most this much late. */
const LOOKS_PER_TIMEOUT = 4;
/** A server that is silent for this long may have lost the connection: a new one is made. */
const SILENCE_MAX_MS = 5_000;
const RECONNECT_MAX_MS = 1_000;

type Client = ReturnType<typeof createClient>;

/** A question to the store. */
export interface StoreCall {
  readonly keys: readonly string[];
  readonly parameters: readonly string[];
  /** Called once, in a later turn. @param answer the script's; null: there is none in time, judge otherwise. */
  onAnswer(answer: unknown): void;
}

interface UnderWay {
  readonly call: StoreCall;
  readonly startMs: number;
  isOver: boolean;
}

export class RedisStore {
  private readonly url: string;
  private readonly timeoutMs: number;
  private readonly clock: Clock;
  private readonly onChange: () => void;
  private client: Client | null;
  /** Oldest first. */
  private readonly underWay: UnderWay[];
  private timer: NodeJS.Timeout | null;
  private lastAnswerMs: number;
  private state: 'connecting' | 'up' | 'away';
  private isClosed: boolean;

  /**
   * Begins to connect; not available before that has succeeded.
   * @param onChange called when it becomes available, or is so no longer; never before the constructor has returned.
   */
  constructor(url: string, timeoutMs: number, clock: Clock, onChange: () => void) {
    this.url = url;
    this.timeoutMs = timeoutMs;
    this.clock = clock;
    this.onChange = onChange;
    this.client = null;
    this.underWay = [];
    this.timer = null;
    this.lastAnswerMs = 0;
    this.state = 'connecting';
    this.isClosed = false;
    void this.open();
  }

  /** True: ask. False: judge by other means without asking. */
  get isAvailable(): boolean {
    return this.state === 'up' && this.client !== null;
  }

  /** It was tried and does not answer. */
  get isAway(): boolean {
    return this.state === 'away';
  }

  /** Asks. Only while available. */
  ask(call: StoreCall): void {
    const entry: UnderWay = { call, startMs: this.nowMs(), isOver: false };
    this.underWay.push(entry);
    this.timer ??= setInterval(() => this.look(), this.timeoutMs / LOOKS_PER_TIMEOUT);
    const client = this.client!;
    const rest = [String(call.keys.length), ...call.keys, ...call.parameters];
    void client.sendCommand(['EVALSHA', SCRIPT_SHA, ...rest]).then(
      (answer) => this.take(entry, answer),
      (error: unknown) => {
        // The server was restarted or its scripts were flushed: this call brings the text.
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) {
          return this.fail(entry);
        }
        void client.sendCommand(['EVAL', LIMIT_SCRIPT, ...rest]).then(
          (answer) => this.take(entry, answer),
          () => this.fail(entry),
        );
      },
    );
  }

  close(): void {
    this.isClosed = true;
    this.stopLooking();
    this.drop();
  }

  private nowMs(): number {
    return this.clock.nowUs() / 1000;
  }

  private async open(): Promise<void> {
    // Loaded only where a limit needs it: it is larger than the rest of the worker.
    const { createClient } = await import('@redis/client');
    if (this.isClosed) return;
    const client = createClient({
      url: this.url,
      RESP: 2,
      disableOfflineQueue: true,
      socket: {
        connectTimeout: 2_000,
        reconnectStrategy: (retries) => Math.min(RECONNECT_MAX_MS, 50 * 2 ** retries),
      },
    });
    this.client = client as unknown as Client;
    client.on('ready', () => {
      this.lastAnswerMs = this.nowMs();
      this.become('up');
    });
    // Reconnecting goes on by itself; what failed is told to the calls.
    client.on('error', () => this.become('away'));
    client.connect().catch(() => {
      // Told by the event as well.
    });
  }

  private take(entry: UnderWay, answer: unknown): void {
    this.lastAnswerMs = this.nowMs();
    this.become('up');
    this.finish(entry, answer);
  }

  private fail(entry: UnderWay): void {
    this.become('away');
    this.finish(entry, null);
  }

  private finish(entry: UnderWay, answer: unknown): void {
    if (entry.isOver || this.isClosed) return;
    entry.isOver = true;
    while (this.underWay[0]?.isOver === true) this.underWay.shift();
    entry.call.onAnswer(answer);
  }

  /** Gives up what has waited too long, and the connection when nothing comes on it any more. */
  private look(): void {
    const nowMs = this.nowMs();
    for (let first = this.underWay[0]; first !== undefined; first = this.underWay[0]) {
      if (nowMs - first.startMs < this.timeoutMs) break;
      this.become('away');
      this.finish(first, null);
    }
    if (this.state === 'up') {
      if (this.underWay.length === 0) this.stopLooking();
      return;
    }
    if (nowMs - this.lastAnswerMs < SILENCE_MAX_MS) return;
    this.lastAnswerMs = nowMs;
    this.drop();
    void this.open();
  }

  private stopLooking(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private drop(): void {
    const client = this.client;
    this.client = null;
    if (client === null) return;
    client.removeAllListeners();
    client.on('error', () => undefined);
    client.destroy();
  }

  private become(state: 'up' | 'away'): void {
    if (this.state === state || this.isClosed) return;
    this.state = state;
    this.onChange();
  }
}
