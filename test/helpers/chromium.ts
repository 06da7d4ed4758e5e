// A real browser for tests: Debian's Chromium without a window, driven over its own debugging protocol.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { within } from './deadline.ts';

const START_DEADLINE_MS = 30_000;
const STEP_DEADLINE_MS = 30_000;

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

export class Chromium {
  private readonly process: ChildProcess;
  private readonly profile: string;
  private readonly socket: WebSocket;
  private lastId = 0;
  private readonly pending: Map<number, (answer: Answer) => void> = new Map();

  private constructor(process: ChildProcess, profile: string, socket: WebSocket) {
    this.process = process;
    this.profile = profile;
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      const answer = JSON.parse(data.toString()) as Answer;
      if (answer.id === undefined) return;
      this.pending.get(answer.id)?.(answer);
      this.pending.delete(answer.id);
    });
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
        '--remote-debugging-port=0',
        `--user-data-dir=${profile}`,
        `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const lines = createInterface({ input: child.stderr });
    const address = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`chromium ended with ${code}`)));
      lines.on('line', (line) => {
        const found = /^DevTools listening on (ws:\S+)/.exec(line);
        if (found !== null) resolve(found[1]!);
      });
    });
    const socket = new WebSocket(await within('chromium', START_DEADLINE_MS, address));
    await within('its debugging protocol', START_DEADLINE_MS, once(socket, 'open'));
    return new Chromium(child, profile, socket);
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
    const ended = once(this.process, 'exit');
    this.socket.terminate();
    this.process.kill();
    await within('the end of chromium', STEP_DEADLINE_MS, ended);
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  private eventOf(session: string, method: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (data: Buffer): void => {
        const event = JSON.parse(data.toString()) as { method?: string; sessionId?: string };
        if (event.method !== method || event.sessionId !== session) return;
        this.socket.off('message', look);
        resolve();
      };
      this.socket.on('message', look);
    });
  }

  private async call(
    method: string,
    params: object,
    sessionId?: string,
  ): Promise<Record<string, unknown>> {
    const id = ++this.lastId;
    const answered = new Promise<Answer>((resolve) => this.pending.set(id, resolve));
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { result, error } = await within(method, STEP_DEADLINE_MS, answered);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result!;
  }
}
