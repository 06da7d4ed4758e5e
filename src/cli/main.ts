// The command line: builds the program out of its commands and turns how it ended into an exit code.
// Called by bin/millrace.js on the main thread, and by tests.
import { letYoungHeapGrow } from './young-heap.ts';
import { Command, CommanderError } from 'commander';
import { InputError } from '../errors.ts';
import { registerCheck } from './check.ts';
import { registerDemo } from './demo.ts';
import { EXIT } from './exit.ts';
import { registerLoad } from './load.ts';
import { registerReport } from './report.ts';
import { registerRun } from './run.ts';
import { registerSchema } from './schema.ts';
import { registerTop } from './top.ts';
import { readVersion } from '../version.ts';

/** Runs one command. @param argv the arguments alone, without node and script. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('millrace')
    .description('HTTP load balancer and reverse proxy, exact over all cores')
    .version(readVersion())
    .showHelpAfterError('(--help lists what there is)')
    .exitOverride();
  // `run` lets it once it is ready.
  program.hook('preAction', (_program, command) => {
    if (command.name() !== 'run') letYoungHeapGrow();
  });
  process.stdout.once('error', leaveOnClosedPipe);
  registerCheck(program);
  registerDemo(program);
  registerLoad(program);
  registerReport(program);
  registerRun(program);
  registerSchema(program);
  registerTop(program);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return EXIT.done;
  } catch (error) {
    return exitCodeOf(error);
  }
}

// `millrace schema | head`: the reader has seen enough, which is no fault.
function leaveOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.done);
}

// Commander has already written its own message; help and version end with 0.
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.misuse;
  if (error instanceof InputError) {
    process.stderr.write(`${error.message}\n`);
    return EXIT.input;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`millrace: a fault of ours, please report it\n${text}\n`);
  return EXIT.internal;
}
