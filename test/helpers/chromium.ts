// A real browser for tests: Debian's Chromium without a window, driven over its own debugging protocol on a pipe, so that it
// ends with the process that started it, however that ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { within } from './deadline.ts';
import { endProcessGroup, groupIsGone } from './process-group.ts';

const START_DEADLINE_MS = 30_000;
const STEP_DEADLINE_MS = 30_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

export class Chromium {
  private readonly process: ChildProcess;
  private readonly profile: string;
  private lastId = 0;
  private readonly pending: Map<number, (answer: Message) => void> = new Map();
  private readonly watchers: Set<(event: Message) => void> = new Set();

  private constructor(process: ChildProcess, profile: string) {
    this.process = process;
    this.profile = profile;
    // Messages end with a zero byte.
    let unread = '';
    const fromBrowser = process.stdio[4] as Readable;
    fromBrowser.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (unread + chunk).split('\0');
      unread = messages.pop()!;
      for (const message of messages) this.take(JSON.parse(message) as Message);
    });
    // What is written to a browser that has gone is missed by whoever waits for the answer.
    for (const pipe of process.stdio.slice(3)) pipe!.on('error', () => undefined);
  }

  /** @param trusted PEM of the one certificate without an issuer that is believed. */
  static async start(trusted: string): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'millrace-chromium-'));
    const { publicKey } = new X509Certificate(trusted);
    const key = publicKey.export({ type: 'spki', format: 'der' });
    const child = spawn(
      'chromium',
      [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--disable-background-networking',
        '--no-first-run',
        '--no-proxy-server',
        '--remote-debugging-pipe',
        `--user-data-dir=${profile}`,
        `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
        'about:blank',
      ],
      // A process group of its own: it is many processes, and all of them write to the profile.
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true },
    );
    const chromium = new Chromium(child, profile);
    const failed = new Promise<never>((_resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`chromium ended with ${code}`)));
    });
    // Its end later on is no failure.
    failed.catch(() => undefined);
    try {
      const answered = chromium.call('Browser.getVersion', {});
      await within('chromium', START_DEADLINE_MS, Promise.race([answered, failed]));
    } catch (error) {
      await chromium.remove();
      throw error;
    }
    return chromium;
  }

  /** Opens a page and waits for what an expression in it comes to; promises are awaited, the value is JSON. */
  async evaluate<Value>(url: string, expression: string): Promise<Value> {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const session = String(sessionId);
    await this.call('Page.enable', {}, session);
    const loaded = this.eventOf(session, 'Page.loadEventFired');
    const { errorText } = await this.call('Page.navigate', { url }, session);
    if (errorText !== undefined) throw new Error(`${url}: ${JSON.stringify(errorText)}`);
    await within('the page', STEP_DEADLINE_MS, loaded);
    const { result, exceptionDetails } = await this.call(
      'Runtime.evaluate',
      { expression, awaitPromise: true, returnByValue: true },
      session,
    );
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: Value }).value;
  }

  async stop(): Promise<void> {
    try {
      await this.call('Browser.close', {});
      await groupIsGone(this.process.pid!, STEP_DEADLINE_MS);
    } finally {
      await this.remove();
    }
  }

  private async remove(): Promise<void> {
    if (this.process.pid !== undefined) await endProcessGroup(this.process.pid);
    rmSync(this.profile, { recursive: true, force: true });
  }

  private take(message: Message): void {
    if (message.id === undefined) {
      for (const watcher of this.watchers) watcher(message);
      return;
    }
    this.pending.get(message.id)?.(message);
    this.pending.delete(message.id);
  }

  private eventOf(session: string, method: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (event: Message): void => {
        if (event.method !== method || event.sessionId !== session) return;
        this.watchers.delete(look);
        resolve();
      };
      this.watchers.add(look);
    });
  }

  private async call(
    method: string,
    params: object,
    sessionId?: string,
  ): Promise<Record<string, unknown>> {
    const id = ++this.lastId;
    const answered = new Promise<Message>((resolve) => this.pending.set(id, resolve));
    (this.process.stdio[3] as Writable).write(
      `${JSON.stringify({ id, method, params, sessionId })}\0`,
    );
    const { result, error } = await within(method, STEP_DEADLINE_MS, answered);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result!;
  }
}
