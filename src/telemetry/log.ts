// The process's log: one JSON object a line on stdout, or something for people when stdout is a terminal. The
// primary alone writes; workers send it what they have to say. pino escapes every string, so nothing that a
// client sent can forge a line.
import { pino, type DestinationStream, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { LogLevel } from '../config/config.ts';
import type { ConfigWarning } from '../config/warnings.ts';

export type { Logger };

export interface LogOptions {
  readonly level: LogLevel | 'silent';
  /** Where lines go; stdout when left out. */
  readonly destination?: DestinationStream;
  /** For people instead of machines. */
  readonly isPretty?: boolean;
}

/** Opens the log. Lines are written before the call returns, so that the last one before an exit is there. */
export function createLogger({ level, destination, isPretty = false }: LogOptions): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  if (destination !== undefined) return pino(options, destination);
  if (isPretty) {
    // https://no-color.org: set and not empty, whatever it says.
    const colorize = (process.env['NO_COLOR'] ?? '') === '';
    return pino(options, PinoPretty({ colorize, sync: true, ignore: 'pid', destination: 1 }));
  }
  const stdout = pino.destination({ dest: 1, sync: true });
  // Whoever read the log is gone. That is no reason to stop serving, and nowhere to report it.
  stdout.on('error', () => undefined);
  return pino(options, stdout);
}

/** Says what the configuration that is now in force asks for in vain. */
export function logWarnings(logger: Logger, warnings: readonly ConfigWarning[]): void {
  for (const { path, line, message } of warnings) {
    logger.warn({ path, line }, `configuration: ${path}: ${message}`);
  }
}
