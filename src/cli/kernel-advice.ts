// What the kernel's settings, which a process cannot change for itself, cost this program. Node and uWebSockets.js
// set no option of a TCP socket that bounds what the kernel holds for a client that does not read; the system can.
import { readFileSync } from 'node:fs';

/** Where the kernel says how many bytes may wait to be sent before it takes no more of an answer. */
const NOTSENT_LOWAT = '/proc/sys/net/ipv4/tcp_notsent_lowat';
/** Whoever has set no more than this has thought about it. */
const NOTSENT_LOWAT_MAX = 1_048_576;
/** Bytes. Measured in perf-reports/2026-11-29-slow-readers.md. */
export const NOTSENT_LOWAT_ADVISED = 131_072;

export interface KernelAdvice {
  readonly setting: string;
  readonly value: number;
  readonly advised: number;
  readonly message: string;
}

/** What the operator should be told. @param file where the setting is; another than the system's in tests. @returns null: nothing to say, or no such setting. */
export function adviseOnKernel(file: string = NOTSENT_LOWAT): KernelAdvice | null {
  const value = readSetting(file);
  if (value === null || value <= NOTSENT_LOWAT_MAX) return null;
  return {
    setting: 'net.ipv4.tcp_notsent_lowat',
    value,
    advised: NOTSENT_LOWAT_ADVISED,
    message:
      'the kernel may take megabytes of an answer for a client that reads slowly: ' +
      `set net.ipv4.tcp_notsent_lowat to ${NOTSENT_LOWAT_ADVISED} (docs/protocols.md)`,
  };
}

function readSetting(file: string): number | null {
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch {
    return null;
  }
  return /^\d+$/.test(text) ? Number(text) : null;
}
