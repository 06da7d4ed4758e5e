// `millrace schema`: prints the configuration's JSON Schema, for an editor to complete and check by.
import type { Command } from 'commander';
import { configJsonSchema } from '../config/json-schema.ts';

/** Adds the command. */
export function registerSchema(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .action(() => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    });
}
