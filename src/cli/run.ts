// `millrace run`: serves until told to stop. SIGTERM or SIGINT drains and exits with 0; a second one of them ends
// the process at once, by that signal. SIGHUP reads the file again; a bad file is reported and changes nothing.
import type { Command } from 'commander';
import { loadCheckedConfig } from '../config/check-files.ts';
import { Balancer } from '../control-plane/balancer.ts';
import { StartTimeout } from '../control-plane/worker-life.ts';
import { InputError } from '../errors.ts';
import { createLogger, logWarnings, type Logger } from '../telemetry/log.ts';
import { readVersion } from '../version.ts';
import { letYoungHeapGrow } from './young-heap.ts';

interface RunOptions {
  readonly config: string;
}

/** Adds the command. It ends when the process has drained; it throws an InputError when it cannot start. */
export function registerRun(program: Command): void {
  program
    .command('run')
    .description('serve; SIGTERM drains, SIGHUP reloads the configuration')
    .requiredOption('-c, --config <file>', 'the configuration: .yaml, .json or .toml')
    .action((options: RunOptions) => serve(options.config));
}

async function serve(file: string): Promise<void> {
  const { config, warnings, located } = loadCheckedConfig(file, process.env);
  const logger = createLogger({ level: config.log.level, isPretty: process.stdout.isTTY });
  const isTold = whenTold(logger);
  // From now on, or a reload asked for while workers start would end the process.
  let isReloadDue = false;
  let reload = (): void => {
    isReloadDue = true;
  };
  const onHangUp = (): void => reload();
  process.on('SIGHUP', onHangUp);
  const balancer = await Balancer.start(config, {
    logger,
    readConfig: () => loadCheckedConfig(file, process.env),
  }).catch((error: unknown) => giveUp(located(error), logger));
  reload = () => {
    balancer.reloadFromSource().catch((error: unknown) => reportRefusal(logger, error));
  };
  const { listeners, admin } = balancer.addresses;
  logger.info({ version: readVersion(), workers: config.workers, listeners, admin }, 'ready');
  logWarnings(logger, warnings);
  letYoungHeapGrow();
  if (isReloadDue) reload();
  const fault = await isTold;
  await leave(balancer, logger);
  process.off('SIGHUP', onHangUp);
  if (fault !== null) throw fault;
}

// Told by a signal, or by a fault of the primary, which is returned: the workers can still finish what they have.
function whenTold(logger: Logger): Promise<Error | null> {
  return new Promise((resolve) => {
    let isStopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (isStopping) {
        // The default action of the signal. process.exit() would abort: it ends threads that hold listeners.
        process.removeAllListeners(signal);
        process.kill(process.pid, signal);
        return;
      }
      isStopping = true;
      logger.info({ signal }, 'told to stop');
      resolve(null);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    process.on('uncaughtException', (error) => {
      logger.fatal({ error: error.message, stack: error.stack }, 'a fault of ours');
      resolve(error);
    });
  });
}

// A thread that hangs keeps the process alive, and one that may hold a listener cannot be ended from here.
function giveUp(error: unknown, logger: Logger): never {
  if (error instanceof StartTimeout) {
    logger.fatal({ reason: error.message }, 'cannot start; the process is killed');
    process.kill(process.pid, 'SIGKILL');
  }
  throw error;
}

async function leave(balancer: Balancer, logger: Logger): Promise<void> {
  const { unresponsive } = await balancer.drain();
  if (unresponsive.length === 0) return;
  logger.fatal({ workers: unresponsive }, 'workers did not end; the process is killed');
  process.kill(process.pid, 'SIGKILL');
}

function reportRefusal(logger: Logger, error: unknown): void {
  if (error instanceof InputError) {
    logger.error(
      { problems: error.problems },
      `reload refused, nothing changed:\n${error.message}`,
    );
    return;
  }
  const reason = error instanceof Error ? error.message : String(error);
  logger.error({ reason }, 'reload failed, nothing changed');
}
