/** Processes that lead schedules, one that runs what they let go, and what came of it. */
import { Ledger } from './ledger.ts';
import { type RunningProcess, spawnNode } from './process.ts';
import { until } from './until.ts';

export interface CronRun extends AsyncDisposable {
  readonly ledger: Ledger;
  /** A process that may lead and runs no job. */
  lead(options?: LeadOptions): Led;
  /** The one that leads now. */
  leader(): Led | undefined;
  untilLed(): Promise<Led>;
  /** Resolves when a tick of this moment or a later one is done, of a schedule whose name begins so. */
  untilTick(moment: number, schedule?: string): Promise<void>;
  /** The last tick that was run. */
  last(schedule?: string): number;
  result(schedule?: string): CronResult;
}

export interface LeadOptions {
  cron?: unknown;
  /** Its clock is wrong by so many ms. */
  clock?: number;
}

export interface Led {
  readonly process: RunningProcess;
  readonly leads: boolean;
  /** How many ticks it has let go. */
  readonly ticks: number;
}

export interface CronResult {
  /** Seconds from the first to the last tick that was run. */
  ticks: number;
  once: number;
  /** Ids. */
  twice: string[];
  never: number[];
}

const COMMAND = 'dist/src/cli/main.js';
/** On a machine that is busy enough a minute can pass without a tick; none may be lost by policy then. */
const EVERY_SECOND = { expression: '* * * * * *', missed: 'all' };

export function startCronRun(options: { url: string; namespace?: string; worker?: boolean }): CronRun {
  return new Run(options);
}

class Run implements CronRun {
  readonly ledger = new Ledger();
  readonly #env: NodeJS.ProcessEnv;
  readonly #worker: RunningProcess;
  #led: Leading[] = [];

  constructor({ url, namespace = '' }: { url: string; namespace?: string }) {
    this.#env = {
      AMQP_URL: url,
      WARREN_NAMESPACE: namespace,
      WARREN_HTTP: 'off',
      WARREN_CONNECT_TIMEOUT: '0',
      LEDGER: this.ledger.path,
    };
    // It knows no schedule, so it never leads.
    this.#worker = this.#spawn('ticking', {});
  }

  lead({ cron = EVERY_SECOND, clock = 0 }: LeadOptions = {}): Led {
    const env = { CRON: JSON.stringify(cron), CLOCK_OFFSET: `${clock}` };
    const led = new Leading(this.#spawn('idle', env));
    this.#led = [...this.#led.filter(({ alive }) => alive), led];
    return led;
  }

  #spawn(queue: string, env: NodeJS.ProcessEnv): RunningProcess {
    const args = ['--import', './test/fixtures/cron-clock.js', COMMAND, 'work'];
    return spawnNode([...args, '--workers', 'test/fixtures/cron', '--queue', queue], {
      env: { ...this.#env, ...env },
    });
  }

  leader(): Led | undefined {
    return this.#led.find(({ leads }) => leads);
  }

  untilLed(): Promise<Led> {
    return until(() => this.leader(), { within: 90_000, every: 5, what: 'somebody to lead' });
  }

  async untilTick(moment: number, schedule = ''): Promise<void> {
    await until(() => this.#ticks(schedule).some(({ tick }) => tick >= moment), {
      within: 120_000,
      every: 100,
      what: `the tick of ${new Date(moment).toISOString()}`,
    });
  }

  #ticks(schedule: string): { id: string; tick: number }[] {
    return this.ledger
      .finishes()
      .filter(({ id }) => id.startsWith(`cron:Ticking${schedule}:`))
      .map(({ id }) => ({ id, tick: Date.parse(id.split(':').slice(2).join(':')) }));
  }

  last(schedule = ''): number {
    return Math.max(...this.#ticks(schedule).map(({ tick }) => tick));
  }

  result(schedule = ''): CronResult {
    const runs = this.#ticks(schedule);
    const counts = new Map<string, number>();
    for (const { id } of runs) counts.set(id, (counts.get(id) ?? 0) + 1);
    const moments = new Set(runs.map(({ tick }) => tick));
    const [first, last] = [Math.min(...moments), Math.max(...moments)];
    const all = Array.from({ length: (last - first) / 1000 + 1 }, (_, index) => first + index * 1000);
    return {
      ticks: all.length,
      once: [...counts.values()].filter((count) => count === 1).length,
      twice: [...counts].filter(([, count]) => count > 1).map(([id]) => id),
      never: all.filter((moment) => !moments.has(moment)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of [...this.#led, { process: this.#worker }]) await process[Symbol.asyncDispose]();
    this.ledger.remove();
  }
}

class Leading implements Led {
  readonly process: RunningProcess;
  #read = 0;
  #leads = false;
  #ticks = 0;

  constructor(process: RunningProcess) {
    this.process = process;
  }

  /** Not when it was sent a signal either: a killed one leads for as long as its end is not heard of. */
  get alive(): boolean {
    const { exitCode, signalCode, killed } = this.process.child;
    return exitCode === null && signalCode === null && !killed;
  }

  get leads(): boolean {
    this.#readOn();
    return this.#leads && this.alive;
  }

  get ticks(): number {
    this.#readOn();
    return this.#ticks;
  }

  #readOn(): void {
    for (; this.#read < this.process.lines.length; this.#read++) {
      const line = this.process.lines[this.#read] as string;
      if (line.includes('"leading the schedules"')) this.#leads = true;
      if (line.includes('"no longer leading the schedules"')) this.#leads = false;
      if (line.includes('"msg":"tick"')) this.#ticks += 1;
    }
  }
}
