// The command line: builds the program out of its commands and turns how it ended into an exit code.
// Called by bin/millrace.js on the main thread, and by tests.
import { letYoungHeapGrow } from './young-heap.ts';
import { Command, CommanderError } from 'commander';
import { InputError } from '../errors.ts';
import { EXIT } from './exit.ts';
import { readVersion } from '../version.ts';

type Register = (program: Command) => void;

/** Every command, loaded when it is asked for: what one needs, the others need not wait for. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  check: async () => (await import('./check.ts')).registerCheck,
  demo: async () => (await import('./demo.ts')).registerDemo,
  load: async () => (await import('./load.ts')).registerLoad,
  report: async () => (await import('./report.ts')).registerReport,
  run: async () => (await import('./run.ts')).registerRun,
  schema: async () => (await import('./schema.ts')).registerSchema,
  top: async () => (await import('./top.ts')).registerTop,
};

/** The one that is named; all of them where none is, for the help. */
async function registerCommands(program: Command, name: string): Promise<void> {
  const own = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  for (const load of own === undefined ? Object.values(COMMANDS) : [own]) {
    (await load())(program);
  }
}

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
  process.stdout.once('error', leaveWithoutReader);
  // Until run.ts listens to it, the signal would end the process, and the file is still to be read.
  if (argv[0] === 'run') process.on('SIGHUP', () => undefined);
  await registerCommands(program, argv[0] ?? '');
  try {
    await program.parseAsync(argv, { from: 'user' });
    return EXIT.done;
  } catch (error) {
    return exitCodeOf(error);
  }
}

// `millrace schema | head`: the reader has seen enough, which is no fault. Anything else, a full disk for one, is.
function leaveWithoutReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  process.stderr.write(`standard output: expected to be written to, found ${error.code}\n`);
  process.exit(EXIT.input);
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
