// What compare-policies.ts measured, as a record, a page and a line. Pure.
import { median } from '../native-bench/harness/statistics.ts';
import { formatTable } from '../native-bench/report/markdown.ts';
import type { LoadEnvironment, ReportEnvelope } from '../src/telemetry/load-record.ts';
import { formatShort } from '../src/telemetry/text-table.ts';

/** The policy that the others are compared with. */
export const BASELINE = 'round-robin';
/** How many times less than the baseline's a p99 is to be. */
export const TARGET = 3;

export interface Round {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly answered: number;
  readonly failed: number;
  /** Due and never sent: the target was too far behind. */
  readonly unsent: number;
  /** How late the generator itself was: a machine with other work makes every p99 worse, and so the ratios smaller. */
  readonly lateP99Ms: number;
  /** Of the requests, to the slow endpoint. */
  readonly slowShare: number;
}

export interface Contender {
  /** A policy, or a policy with what else was set. */
  readonly name: string;
  /** Is the target its own? The others are shown beside. */
  readonly isJudged: boolean;
  readonly rounds: readonly Round[];
}

export interface ScenarioResult {
  readonly name: string;
  readonly about: string;
  readonly contenders: readonly Contender[];
}

export interface ComparisonRecord extends ReportEnvelope {
  readonly format: 'millrace-policy-comparison/1';
  readonly environment: LoadEnvironment;
  readonly seconds: number;
  readonly scenarios: readonly ScenarioResult[];
}

/** How many times less than the baseline's the contender's p99 is, round by round; the median. */
export function gainOf(scenario: ScenarioResult, contender: Contender): number {
  const baseline = scenario.contenders.find(({ name }) => name === BASELINE);
  const gains = contender.rounds.flatMap(({ p99Ms }, round) => {
    const other = baseline?.rounds[round];
    return other === undefined ? [] : [other.p99Ms / p99Ms];
  });
  return gains.length === 0 ? Number.NaN : median(gains);
}

/** The judged contenders of the first scenario, in one line. */
export function headlineOf(scenarios: readonly ScenarioResult[]): string {
  const [first] = scenarios;
  if (first === undefined) return '';
  const target = first.contenders.filter(({ isJudged }) => isJudged);
  // A scenario without a target still tells how all came out.
  const judged = target.length > 0 ? target : first.contenders;
  const gains = judged.map((each) => `${each.name} ${formatShort(gainOf(first, each))}`);
  const what = `p99 of ${BASELINE} ÷ p99 with one of 4 servers 10 × slower (${first.name}): ${gains.join(', ')}`;
  if (target.length === 0) return what;
  const met = target.filter((each) => gainOf(first, each) >= TARGET).length;
  return `${what}; ${met} of ${target.length} reach ${TARGET}`;
}

export function formatPage(record: ComparisonRecord): string {
  const { environment } = record;
  const lines = [
    '# Policies and a slow server',
    '',
    `${record.startedAt.slice(0, 16).replace('T', ' ')} UTC, ${environment.commit}, ${environment.cpu}, ${environment.cpus} CPUs, Node ${environment.node}. ` +
      `Four endpoints, one of them 10 times slower; the same fixed rate for all, ${record.seconds} s a run, the policies taking turns. ` +
      `Latency counts from when a request was due. Medians of the rounds (least–most).`,
  ];
  for (const scenario of record.scenarios) {
    lines.push('', `## ${scenario.name}`, '', scenario.about, '');
    const rows = scenario.contenders.map((contender) => {
      const { rounds } = contender;
      const gain = gainOf(scenario, contender);
      const verdict = !contender.isJudged ? '' : gain >= TARGET ? ' ✓' : ' ✗';
      return [
        contender.name,
        formatShort(median(rounds.map(({ p50Ms }) => p50Ms))),
        rangeOf(rounds.map(({ p99Ms }) => p99Ms)),
        rangeOf(rounds.map(({ maxMs }) => maxMs)),
        `${formatShort(gain)}${verdict}`,
        `${(100 * median(rounds.map(({ slowShare }) => slowShare))).toFixed(1)} %`,
        formatShort(Math.max(...rounds.map(({ lateP99Ms }) => lateP99Ms))),
        String(rounds.reduce((sum, { failed, unsent }) => sum + failed + unsent, 0)),
      ];
    });
    const head = [
      'policy',
      'p50 ms',
      'p99 ms',
      'max ms',
      `${BASELINE}'s p99 ÷ its`,
      'to the slow one',
      'generator late, p99 ms',
      'failed',
    ];
    lines.push(formatTable(head, rows));
  }
  return `${lines.join('\n')}\n`;
}

function rangeOf(values: readonly number[]): string {
  const middle = formatShort(median(values));
  if (values.length < 2) return middle;
  return `${middle} (${formatShort(Math.min(...values))}–${formatShort(Math.max(...values))})`;
}
