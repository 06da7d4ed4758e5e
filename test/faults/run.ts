// Runs the fault matrix: a whole proxy with one worker on the given engine, two endpoints that do what a row says, and one
// that is sound. One request after the other, so that what the endpoints receive belongs to it.
import assert from 'node:assert/strict';
import { eventually } from '../helpers/deadline.ts';
import {
  type Answer,
  FaultUpstream,
  faultAnswer,
  GOOD_RESPONSE,
  refusingPort,
} from '../helpers/fault-upstream.ts';
import { hasWholeAnswer, Proxy, parseAnswer } from '../helpers/proxy.ts';
import type { FaultCase, Result, Scene } from './matrix.ts';

const DEADLINE_MS = 10_000;
/** Where silence is the fault; in all other rows a busy machine must not look like it. */
const SHORT = { response: '250ms', idle: '250ms' };
const PATIENT = { response: '10s', idle: '10s' };

const sound: Answer = (connection) => connection.send(GOOD_RESPONSE);

/** The proxy and its endpoints. */
export class FaultField {
  private readonly proxy: Proxy;
  /** Both misbehave alike. */
  private readonly faulty: readonly FaultUpstream[];
  private readonly healthy: FaultUpstream;

  private constructor(proxy: Proxy, faulty: readonly FaultUpstream[], healthy: FaultUpstream) {
    this.proxy = proxy;
    this.faulty = faulty;
    this.healthy = healthy;
  }

  static async start(engine: 'wire' | 'undici'): Promise<FaultField> {
    const faulty = [await FaultUpstream.start(sound), await FaultUpstream.start(sound)];
    const healthy = await FaultUpstream.start(sound);
    const common = {
      policy: 'round-robin',
      healthCheck: { type: 'none' },
      // Nothing is taken out of turn: each row meets the same endpoints.
      outlier: { consecutive5xx: 0, consecutiveConnectFailures: 0 },
      connection: { engine },
      timeouts: PATIENT,
      retry: { attempts: 1, backoff: { base: '0ms' } },
    };
    const [first, second] = faulty.map(({ port }) => `127.0.0.1:${port}`);
    const refusing = `127.0.0.1:${await refusingPort()}`;
    // A backup is asked only when the first endpoint was tried: the fault always comes first.
    const backup = { address: `127.0.0.1:${healthy.port}`, backup: true };
    const upstreams = {
      all: { ...common, endpoints: [first, second] },
      one: { ...common, endpoints: [{ address: first }, backup] },
      'all-short': { ...common, timeouts: SHORT, endpoints: [first, second] },
      'one-short': { ...common, timeouts: SHORT, endpoints: [{ address: first }, backup] },
      'all-refuse': { ...common, endpoints: [refusing] },
      'one-refuses': { ...common, endpoints: [{ address: refusing }, backup] },
    };
    const routes = Object.keys(upstreams).map((upstream) => ({
      name: upstream,
      match: { path: `/${upstream}` },
      upstream,
    }));
    const proxy = await Proxy.start({}, { upstreams, routes });
    return new FaultField(proxy, faulty, healthy);
  }

  /** One request. @throws Error when something of it is left in the counters. */
  async run(one: FaultCase, scene: Scene): Promise<Result> {
    const target = this.targetOf(one, scene);
    const all = [...this.faulty, this.healthy];
    await this.closeConnections();
    if (scene === 'reused' && one.fault !== 'refuse') {
      // Round robin: each of the two gets one.
      for (const _ of this.faulty) assert.equal(await this.ask(target, scene), '200 whole');
    }
    if (one.fault !== 'refuse') {
      const misbehave = faultAnswer(one.fault, one.position);
      for (const upstream of this.faulty) upstream.answer = misbehave;
    }
    for (const upstream of all) upstream.requests.length = 0;
    const before = await this.assertNothingLeft();
    try {
      const outcome = await this.ask(target, scene);
      const sent = all.reduce((sum, upstream) => sum + upstream.requests.length, 0);
      return { outcome, retries: (await this.assertNothingLeft()) - before, sent };
    } finally {
      for (const upstream of this.faulty) upstream.answer = sound;
    }
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    for (const upstream of [...this.faulty, this.healthy]) await upstream.stop();
  }

  private targetOf(one: FaultCase, scene: Scene): string {
    if (one.fault === 'refuse') return scene === 'rescued' ? '/one-refuses' : '/all-refuse';
    // undici waits for what is to come behind a long chunk extension.
    const isSilent = one.fault === 'stall' || one.fault === 'oversized';
    return `/${scene === 'rescued' ? 'one' : 'all'}${isSilent ? '-short' : ''}`;
  }

  private async ask(target: string, scene: Scene): Promise<string> {
    const request =
      scene === 'post'
        ? `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab`
        : `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const text = await this.proxy.exchange(request);
    assert.notEqual(text, '', 'no answer at all');
    const { status, headers, body } = parseAnswer(text);
    const reason = headers.find(([name]) => name.toLowerCase() === 'x-millrace-error')?.[1];
    if (reason !== undefined) return `${status} ${reason}`;
    if (!hasWholeAnswer(text)) return `${status} cut`;
    assert.equal(body, 'good answer');
    return `${status} whole`;
  }

  /**
   * By FIN, and until the proxy has closed its side: the next request finds no connection. For a request given up
   * within its answer undici opens another connection, which may come while this waits.
   */
  private async closeConnections(): Promise<void> {
    for (const { connections } of [...this.faulty, this.healthy]) {
      await eventually('kept connections close', DEADLINE_MS, () => {
        for (const connection of connections) connection.endHalf();
        return connections.size === 0 ? true : undefined;
      });
    }
  }

  /** @returns retries of all upstreams so far. @throws Error when a request still counts as active. */
  private async assertNothingLeft(): Promise<number> {
    return eventually('nothing is active', DEADLINE_MS, () => {
      let retries = 0;
      for (const upstream of Object.values(this.proxy.balancer.state().upstreams)) {
        const active = upstream.endpoints.reduce((sum, endpoint) => sum + endpoint.active, 0);
        if (active + upstream.active + upstream.retriesActive > 0) return undefined;
        retries += upstream.retries;
      }
      return retries;
    });
  }
}
