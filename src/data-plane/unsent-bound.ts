// Bounds how much of an answer the kernel takes for a client that does not read it. As it comes Linux takes megabytes a
// connection: memory that the proxy's own bounds do not see, and all of it copied at once when many such clients come.
import { readFileSync } from 'node:fs';
import { nextFile, SocketOptions } from './socket-options.ts';

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
  private readonly options: SocketOptions | string;
  private isSet = true;

  /**
   * @param setting the system's own bound in bytes; null: it does not say.
   * @param options or why there are none.
   */
  constructor(setting: number | null, options: SocketOptions | string) {
    this.setting = setting;
    this.options = options;
  }

  static async open(): Promise<UnsentBound> {
    // Elsewhere the option has another number, and there is nothing of the kind to set for the system.
    if (process.platform !== 'linux') return new UnsentBound(0, 'not Linux');
    const options = await SocketOptions.load().catch(String);
    return new UnsentBound(readSetting(SETTING_FILE), options);
  }

  /** To be asked right before a port is opened, for apply(). */
  nextFile(): number {
    return this.isNeeded ? nextFile() : -1;
  }

  /** For a port that was just opened. A lower bound of the system's stays. @param likelyFile as in SocketOptions. */
  apply(port: number, likelyFile = -1): void {
    if (!this.isNeeded) return;
    const { options } = this;
    const setCount =
      typeof options === 'string' ? 0 : options.boundUnsent(port, UNSENT_BYTES_MAX, likelyFile);
    if (setCount === 0) this.isSet = false;
  }

  /** @returns null: nothing to say. */
  get advice(): KernelAdvice | null {
    if (this.isSet) return null;
    const why = typeof this.options === 'string' ? this.options : 'no listening socket was found';
    return {
      message:
        'the kernel may take megabytes of an answer for a client that reads slowly: ' +
        `set ${SETTING} to ${UNSENT_BYTES_MAX} (docs/protocols.md)`,
      fields: { setting: SETTING, value: this.setting, advised: UNSENT_BYTES_MAX, why },
    };
  }

  private get isNeeded(): boolean {
    return this.setting === null || this.setting > SETTING_MAX;
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
