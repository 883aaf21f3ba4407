/** `warren work --processes`, with the jobs of test/fixtures/family. */
import { freePort } from '../stories/support.ts';
import { alive } from './alive.ts';
import { type RunningProcess, spawnWarren } from './process.ts';
import { until } from './until.ts';

export interface FamilyOptions {
  url: string;
  namespace: string;
  /** Path of the ledger. */
  ledger: string;
  processes?: number;
  concurrency?: number;
  /** A config file, which then says what is consumed. */
  config?: string;
  grace?: string;
  env?: NodeJS.ProcessEnv;
}

/** What `/healthz` says of one worker. */
export interface Child {
  pid: number | null;
  status: string;
  restarts: number;
  uptime: number;
}

export class Family implements AsyncDisposable {
  readonly parent: RunningProcess;
  readonly url: string;

  private constructor(parent: RunningProcess, port: number) {
    this.parent = parent;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Ready. */
  static async start(options: FamilyOptions): Promise<Family> {
    const { url, namespace, ledger, processes = 2, concurrency = 5, config, grace = '10s', env } = options;
    const port = await freePort();
    const flags = ['--workers', 'test/fixtures/family', '--port', `${port}`, '--grace', grace];
    const what = config === undefined ? ['--queue', `family:${concurrency}`] : ['--config', config];
    const wanted = ['--processes', `${processes}`, ...what];
    const parent = spawnWarren(['work', ...flags, ...wanted], {
      env: { ...env, AMQP_URL: url, WARREN_NAMESPACE: namespace, LEDGER: ledger },
      group: true,
    });
    const family = new Family(parent, port);
    await family.ready().catch(async (error) => {
      await family[Symbol.asyncDispose]();
      throw error;
    });
    return family;
  }

  async ready(): Promise<void> {
    const { child } = this.parent;
    const ended = () => child.exitCode !== null || child.signalCode !== null;
    await until(async () => ended() || (await fetch(`${this.url}/readyz`)).ok, {
      within: 60_000,
      what: 'the family to be ready',
    });
    if (ended()) throw new Error(this.parent.lines.slice(-30).join('\n'));
  }

  async health() {
    return (await (await fetch(`${this.url}/healthz`)).json()) as {
      status: string;
      queues: Record<string, { running: number; consumers: number }>;
      processes: Child[];
      reasons?: string[];
    };
  }

  async pids(): Promise<number[]> {
    return (await this.health()).processes.flatMap(({ pid }) => pid ?? []);
  }

  /** Reads values of one look at `/metrics`; NaN for a line that is not there. */
  async metrics(): Promise<(series: string) => number> {
    const lines = (await (await fetch(`${this.url}/metrics`)).text()).split('\n');
    return (series) => {
      const line = lines.find((one) => one.startsWith(`${series} `));
      return line === undefined ? Number.NaN : Number(line.slice(series.length + 1));
    };
  }

  /** As a terminal's Ctrl-C: everyone in it gets the signal. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.parent.pid, signal);
  }

  /** Whatever a test broke: nobody stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.signalGroup('SIGKILL');
    } catch {
      // All have ended.
    }
    await this.parent[Symbol.asyncDispose]();
  }
}

export const allGone = (pids: readonly number[], within = 30_000) =>
  until(() => !pids.some(alive), { within, what: `the end of ${pids.join(', ')}` });
