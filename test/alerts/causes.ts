/** What sets each alert off, for real. Called again and again until the alert fires. */
import { connect } from 'amqplib';
import type { Client } from 'warren';
import type { PrivateBroker } from '../support/broker.ts';
import { until } from '../support/until.ts';

export interface Stage {
  broker: PrivateBroker;
  client: Client;
  /** Where the supervisor of the workers serves HTTP. */
  url: string;
  startWorker(): Promise<void>;
}

const job =
  (name: string, { queue = 'default', times = 1 } = {}) =>
  async ({ client }: Stage) => {
    for (let count = 0; count < times; count++) await client.enqueue(name, {}, { queue });
  };

/** In this order: each is caused while the ones before go on. */
export const causes: Record<string, (stage: Stage, round: number) => Promise<void>> = {
  // Nobody has started one yet.
  WarrenNoWorker: async () => {},
  WarrenNobodyConsumes: async (stage, round) => {
    if (round === 0) await stage.startWorker();
    await job('Forgotten', { queue: 'forgotten' })(stage);
  },
  WarrenJobsDead: job('Dies'),
  WarrenJobCrashes: job('Crashes'),
  WarrenPublishFailures: job('Misdirects'),
  WarrenBacklogGrows: job('Slow', { queue: 'slow', times: 100 }),
  WarrenUnrouted: async ({ broker }) => {
    const connection = await connect(broker.url);
    const channel = await connection.createConfirmChannel();
    channel.publish('jobs.due', 'gone', Buffer.from('{}'), { persistent: true });
    await channel.waitForConfirms();
    await connection.close();
  },
  WarrenJobOverdue: async (stage, round) => (round === 0 ? job('Overruns')(stage) : undefined),
  WarrenEventLoopLag: async (stage, round) => (round % 20 === 0 ? job('Blocks')(stage) : undefined),
  WarrenRestartLoop: async ({ url }) => {
    const [pid] = await until(async () => (await pidsOf(url)).filter((one) => one !== null), {
      within: 30_000,
      what: 'a worker to kill',
    });
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  },
  WarrenBrokerDisconnected: async ({ broker, url }, round) => {
    if (round > 0) return;
    // Those killed above are connected again: this is about losing a broker, not about never finding it.
    await until(async () => (await fetch(`${url}/readyz`)).ok, {
      within: 60_000,
      what: 'the workers to be back',
    });
    await broker.kill();
  },
};

async function pidsOf(url: string): Promise<(number | null)[]> {
  const health = (await (await fetch(`${url}/healthz`)).json()) as { processes: { pid: number | null }[] };
  return health.processes.map(({ pid }) => pid);
}
