// Bounds how much of an answer the kernel takes for a client that does not read it. As it comes Linux takes megabytes a
// connection: memory that the proxy's own bounds do not see, and all of it copied at once when many such clients come.
import { readFileSync } from 'node:fs';
import { SocketOptions } from './socket-options.ts';

/** Where the kernel says how many bytes may wait to be sent on a socket without a bound of its own. */
const SETTING = 'net.ipv4.tcp_notsent_lowat';
const SETTING_FILE = '/proc/sys/net/ipv4/tcp_notsent_lowat';
/** Whoever has set no more than this has thought about it. */
const SETTING_MAX = 1_048_576;
/** Bytes. Measured in perf-reports/2026-11-29-slow-readers.md. */
export const UNSENT_BYTES_MAX = 131_072;

/** What the operator should be told. */
export interface KernelAdvice {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class UnsentBound {
  private readonly setting: number | null;
  private readonly options: SocketOptions | null;
  private isSet = true;

  /**
   * @param setting the system's own bound in bytes; null: it has none to set.
   * @param options null: it cannot be set for one socket.
   */
  constructor(setting: number | null, options: SocketOptions | null) {
    this.setting = setting;
    this.options = options;
  }

  static async open(): Promise<UnsentBound> {
    return new UnsentBound(readSetting(SETTING_FILE), await SocketOptions.load());
  }

  /** For a port that this process has just opened, before anything is accepted on it. A lower bound of the system's stays. */
  apply(port: number): void {
    if (!this.isNeeded) return;
    const setCount = this.options?.boundUnsent(port, UNSENT_BYTES_MAX) ?? 0;
    if (setCount === 0) this.isSet = false;
  }

  /** @returns null: nothing to say. */
  get advice(): KernelAdvice | null {
    if (this.isSet) return null;
    return {
      message:
        'the kernel may take megabytes of an answer for a client that reads slowly: ' +
        `set ${SETTING} to ${UNSENT_BYTES_MAX} (docs/protocols.md)`,
      fields: { setting: SETTING, value: this.setting, advised: UNSENT_BYTES_MAX },
    };
  }

  private get isNeeded(): boolean {
    return this.setting !== null && this.setting > SETTING_MAX;
  }
}

/** @returns null: no such setting, or nothing that is a number. */
export function readSetting(file: string): number | null {
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch {
    return null;
  }
  return /^\d+$/.test(text) ? Number(text) : null;
}
