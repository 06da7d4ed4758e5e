// `millrace check`: validates a configuration file and the files it names, and starts nothing.
import type { Command } from 'commander';
import { loadCheckedConfig } from '../config/check-files.ts';

interface CheckOptions {
  readonly config: string;
}

/** Adds the command. It throws an InputError with every problem. */
export function registerCheck(program: Command): void {
  program
    .command('check')
    .description('validate a configuration file; every problem and warning is listed')
    .requiredOption('-c, --config <file>', 'the configuration: .yaml, .json or .toml')
    .action((options: CheckOptions) => {
      const { config, warnings } = loadCheckedConfig(options.config, process.env);
      const upstreams = Object.values(config.upstreams);
      const counts = [
        count(config.listeners.length, 'listener'),
        count(config.routes.length, 'route'),
        count(upstreams.length, 'upstream'),
        count(
          upstreams.reduce((sum, upstream) => sum + upstream.endpoints.length, 0),
          'endpoint',
        ),
      ];
      for (const { path, line, message } of warnings) {
        const place = line > 0 ? `${options.config}:${line}` : options.config;
        process.stderr.write(`${place}: warning: ${path}: ${message}\n`);
      }
      process.stdout.write(`${options.config}: ok (${counts.join(', ')})\n`);
    });
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
