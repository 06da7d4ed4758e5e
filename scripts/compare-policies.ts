// `npm run compare:policies`: what each policy makes of four endpoints of which one is 10 times slower, at the same
// fixed rate. Real processes: four servers, millrace with two workers, the load generator here.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { readEnvironment } from '../src/cli/load/environment.ts';
import { measure } from '../src/cli/load/measure.ts';
import { badStatusCount, errorCount } from '../src/telemetry/load-record.ts';
import { saveReport } from '../src/telemetry/report-folder.ts';
import { MillraceProcess } from '../test/helpers/millrace-process.ts';
import {
  type ComparisonRecord,
  type Contender,
  type Round,
  type ScenarioResult,
  formatPage,
  headlineOf,
} from './compare-policies-report.ts';
import { pacedPlan } from './load-arguments.ts';

const SERVER = fileURLToPath(new URL('./compare-policies-server.js', import.meta.url));
const CONNECTIONS = 64;
/** Before each measured run: response times are known and connections open, as in a proxy that has been up for a while. */
const WARM_SECONDS = 3;
const FAST_COUNT = 3;

interface Entry {
  readonly name: string;
  readonly isJudged: boolean;
  readonly upstream: object;
}

interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly kind: 'queue' | 'delay';
  readonly isRandom: boolean;
  readonly fastMs: number;
  readonly rate: number;
  readonly entries: readonly Entry[];
}

const judged = (policy: string): Entry => ({ name: policy, isJudged: true, upstream: { policy } });
const shown = (policy: string): Entry => ({ ...judged(policy), isJudged: false });
const POLICIES = [
  shown('round-robin'),
  judged('least-connections'),
  judged('peak-ewma'),
  judged('response-time'),
  shown('power-of-two'),
];
const EJECTING = { outlier: { interval: '1s', latency: { factor: 3 } } };

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'queue',
    about:
      'Each server works on one request at a time, for 3 ms on average, the slow one for 30 ms (exponential). At 128 requests/s round ' +
      'robin keeps the slow one busy for 96 % of the time: it is stable, and requests queue there. The other policies see the queue.',
    kind: 'queue',
    isRandom: true,
    fastMs: 3,
    rate: 128,
    entries: POLICIES,
  },
  {
    name: 'delay',
    about:
      'No queues: each server takes 10 ms for any request, the slow one 100 ms, however many there are. Whoever sends it more than 1 % of ' +
      'the requests has its 100 ms as p99. Policies that go by load or by proportional weights do, as they should: it is slower by ' +
      'ten, and so gets a tenth of the others’ share (3.2 % of all), whatever weightRange allows. Peak EWMA leaves it alone unless a ' +
      'fast server had a peak of its own within the decay; ejecting outliers by latency takes it out.',
    kind: 'delay',
    isRandom: false,
    fastMs: 10,
    rate: 200,
    entries: [
      ...POLICIES.map(({ name }) => shown(name)),
      {
        name: 'peak-ewma, decay 1s',
        isJudged: false,
        upstream: { policy: 'peak-ewma', peakEwma: { decay: '1s' } },
      },
      {
        name: 'response-time, weightRange [1, 100]',
        isJudged: false,
        upstream: { policy: 'response-time', responseTime: { weightRange: [1, 100] } },
      },
      {
        name: 'response-time, outlier.latency.factor 3',
        isJudged: false,
        upstream: { policy: 'response-time', ...EJECTING },
      },
      {
        name: 'least-connections, outlier.latency.factor 3',
        isJudged: false,
        upstream: { policy: 'least-connections', ...EJECTING },
      },
    ],
  },
];

class Server {
  private readonly child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.port = port;
  }

  static async start(...parameters: readonly (string | number)[]): Promise<Server> {
    const child = fork(SERVER, parameters.map(String));
    const [port] = (await once(child, 'message')) as [number];
    return new Server(child, port);
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}

async function runRound(
  scenario: Scenario,
  { upstream }: Entry,
  round: number,
  seconds: number,
): Promise<Round> {
  const { kind, isRandom, fastMs, rate } = scenario;
  const servers = await Promise.all(
    Array.from({ length: FAST_COUNT + 1 }, (_, index) => {
      // The same service times for every policy of a round.
      const seed = isRandom ? 1000 * (round + 1) + index : 0;
      return Server.start(kind, index < FAST_COUNT ? fastMs : 10 * fastMs, seed);
    }),
  );
  const millrace = await MillraceProcess.start({
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: {
        healthCheck: { type: 'none' },
        retry: { attempts: 0 },
        endpoints: servers.map(({ port }) => `127.0.0.1:${port}`),
        ...upstream,
      },
    },
  });
  try {
    const url = millrace.url('/');
    const options = {
      name: scenario.name,
      adminUrl: '',
      adminToken: '',
      signal: new AbortController().signal,
      onProgress: () => undefined,
    };
    await measure(pacedPlan(url, rate, WARM_SECONDS, CONNECTIONS), options);
    const requestsOf = async (): Promise<number[]> =>
      (await millrace.state()).upstreams['api']!.endpoints.map(({ requests }) => requests);
    const before = await requestsOf();
    const { latency, outcome } = await measure(pacedPlan(url, rate, seconds, CONNECTIONS), options);
    const sent = (await requestsOf()).map((requests, index) => requests - before[index]!);
    const all = sent.reduce((sum, requests) => sum + requests, 0);
    return {
      p50Ms: latency.p50Ms,
      p99Ms: latency.p99Ms,
      maxMs: latency.maxMs,
      answered: outcome.answered,
      failed: errorCount(outcome.errors) + badStatusCount(outcome.statuses),
      unsent: outcome.unsent,
      lateP99Ms: outcome.generatorLatenessMs?.p99 ?? 0,
      slowShare: sent[FAST_COUNT]! / all,
    };
  } finally {
    await millrace.stop();
    for (const server of servers) server.stop();
  }
}

async function runScenario(
  scenario: Scenario,
  rounds: number,
  seconds: number,
): Promise<ScenarioResult> {
  const results = new Map<Entry, Round[]>(scenario.entries.map((entry) => [entry, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [entry, done] of results) {
      const result = await runRound(scenario, entry, round, seconds);
      done.push(result);
      process.stderr.write(
        `${scenario.name} ${round + 1}/${rounds} ${entry.name}: p99 ${result.p99Ms.toFixed(1)} ms, ` +
          `${(100 * result.slowShare).toFixed(1)} % to the slow one\n`,
      );
    }
  }
  const contenders = Array.from(results, ([{ name, isJudged }, done]): Contender => ({
    name,
    isJudged,
    rounds: done,
  }));
  return { name: scenario.name, about: scenario.about, contenders };
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '3' },
    scenario: { type: 'string', default: '' },
    out: { type: 'string', default: 'perf-reports' },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const chosen = SCENARIOS.filter(({ name }) => values.scenario === '' || name === values.scenario);
if (!(seconds >= 1 && seconds <= 600) || !(rounds >= 1 && rounds <= 50) || chosen.length === 0) {
  const names = SCENARIOS.map(({ name }) => name).join(' or ');
  process.stderr.write(`--seconds from 1 to 600, --rounds from 1 to 50, --scenario ${names}\n`);
  process.exit(2);
}
const startedAt = new Date().toISOString();
const scenarios: ScenarioResult[] = [];
for (const scenario of chosen) scenarios.push(await runScenario(scenario, rounds, seconds));
const record: ComparisonRecord = {
  format: 'millrace-policy-comparison/1',
  name: ['policies-slow-server', ...(chosen.length > 1 ? [] : [values.scenario])].join('-'),
  startedAt,
  headline: headlineOf(scenarios),
  environment: await readEnvironment(),
  seconds,
  scenarios,
};
const md = formatPage(record);
process.stdout.write(md);
process.stderr.write(`saved: ${await saveReport(values.out, record, { md })}\n`);
