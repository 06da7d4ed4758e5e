// The command line of the benchmark.
import { parseArgs } from 'node:util';
import { InputError, type Problem } from '../src/errors.ts';
import { BASELINE, PEERS } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

const FULL = { pairs: 5, seconds: 0.65 } as const;
const QUICK = { pairs: 5, seconds: 0.6 } as const;

/** What is to be measured. */
export interface BenchOptions {
  readonly workloads: readonly Workload[];
  /** Peers by workload are chosen from these. */
  readonly peers: readonly Peer[];
  /** Extra peers are measured even where the workload does not name them: they were asked for by name. */
  readonly isPeersNamed: boolean;
  readonly pairs: number;
  readonly seconds: number;
  /** Also written there, when not ''. */
  readonly jsonFile: string;
  readonly isSaved: boolean;
  readonly isQuick: boolean;
  readonly isList: boolean;
  readonly isHelp: boolean;
}

/** The text of `--help`. */
export const HELP = `npm run bench -- [options]
Measures millrace beside native proxies on this machine: CPU per request, rate, latencies, memory.

  --quick              the first workload only, short slots: under three minutes
  --workload NAME,...  these workloads only
  --peers NAME,...     these peers only; ${BASELINE.name} is what the others are compared with
  --pairs N            rounds, each with a slot of every peer beside one of ${BASELINE.name} (${FULL.pairs})
  --seconds N          length of a slot (${FULL.seconds}; quick: ${QUICK.seconds})
  --save               put the result into perf-reports/ (done by itself for a run of everything)
  --no-save            do not
  --json FILE          write the record there too
  --list               print the workloads and peers, and which are installed
`;

/** Reads the command line. @throws InputError with every problem in it. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      workload: { type: 'string', default: '' },
      peers: { type: 'string', default: '' },
      pairs: { type: 'string' },
      seconds: { type: 'string' },
      json: { type: 'string', default: '' },
      save: { type: 'boolean', default: false },
      'no-save': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const defaults = values.quick ? QUICK : FULL;
  const problems: Problem[] = [];
  const inRange = (text: string | undefined, path: string, whenAbsent: number, max: number) => {
    const value = text === undefined ? whenAbsent : Number(text);
    if (value > 0 && value <= max) return value;
    problems.push({ path, line: 0, expected: `a number up to ${max}`, found: text ?? '' });
    return whenAbsent;
  };
  const byName = <T extends { readonly name: string }>(
    text: string,
    path: string,
    all: readonly T[],
  ): T[] => {
    const names = text.split(',').filter((name) => name !== '');
    for (const name of names) {
      if (all.some((one) => one.name === name)) continue;
      const expected = all.map((one) => one.name).join(', ');
      problems.push({ path, line: 0, expected, found: name });
    }
    return all.filter((one) => names.length === 0 || names.includes(one.name));
  };
  const workloads = byName(values.workload, '--workload', WORKLOADS);
  const peers = byName(values.peers, '--peers', PEERS);
  const pairs = Math.round(inRange(values.pairs, '--pairs', defaults.pairs, 1000));
  const seconds = inRange(values.seconds, '--seconds', defaults.seconds, 600);
  if (problems.length > 0) throw new InputError('bench', problems);
  const isEverything = !values.quick && values.workload === '' && values.peers === '';
  return {
    workloads: values.quick && values.workload === '' ? workloads.slice(0, 1) : workloads,
    peers,
    isPeersNamed: values.peers !== '',
    pairs,
    seconds,
    jsonFile: values.json,
    isSaved: values.save || (isEverything && !values['no-save']),
    isQuick: values.quick,
    isList: values.list,
    isHelp: values.help,
  };
}
