/** Client and runtime on a memory server: the whole of warren without a broker, and a day of waiting in a moment. */
import { afterEach, describe, expect, it } from '@jest/globals';
import {
  createClient,
  createRuntime,
  dead,
  Job,
  type JobContext,
  type Runtime,
  UnroutableError,
} from '../../src/index.ts';
import { createTestServer, ManualClock, type MemoryServer } from '../../src/testing.ts';
import { until } from '../support/until.ts';

class Flaky extends Job<{ fails: number }> {
  static override queue = 'mail';
  static override retry = { attempts: 4, backoff: ['3s', '1h', '24h'] };
  static seen: number[] = [];
  async perform({ fails }: { fails: number }, { attempt }: JobContext) {
    Flaky.seen.push(attempt);
    if (attempt <= fails) throw new Error(`attempt ${attempt} failed`);
  }
}

class Doomed extends Job {
  static override queue = 'mail';
  async perform() {
    return dead('it never could');
  }
}

const jobs = [Flaky, Doomed];
const running: { runtime: Runtime; ended: Promise<number> }[] = [];

function work(server: MemoryServer, options: { queues?: Record<string, object> } = {}): Runtime {
  const runtime = createRuntime({
    ...options,
    broker: server.broker(),
    jobs,
    http: false,
    signals: false,
    logger: false,
  });
  running.push({ runtime, ended: runtime.run() });
  return runtime;
}

afterEach(async () => {
  for (const { runtime, ended } of running.splice(0)) {
    await runtime.stop();
    await ended;
  }
  Flaky.seen = [];
});

/** What the runtime hears of, in order. */
function heard(runtime: Runtime): string[] {
  const names: string[] = [];
  for (const name of ['job.retried', 'job.succeeded', 'job.dead'] as const)
    runtime.on(name, () => void names.push(name));
  return names;
}

it('says it where a queue is consumed that no job class names: it may be misspelt', async () => {
  const runtime = work(createTestServer({ jobs }), { queues: { mail: {}, mial: {} } });
  const told = await new Promise((resolve) => runtime.on('queue.unnamed', resolve));
  expect(told).toEqual({ queue: 'mial', named: ['mail'] });
});

describe('the job of a tick that a crash of the broker doubled', () => {
  let ends: (() => void)[] = [];
  let begun: string[] = [];

  class Ticking extends Job<{ wait: boolean }> {
    static override queue = 'ticks';
    async perform({ wait }: { wait: boolean }, { id }: JobContext) {
      begun.push(id);
      if (wait) await new Promise<void>((resolve) => ends.push(resolve));
    }
  }

  async function doubled(wait: boolean, headers: object): Promise<string[]> {
    [ends, begun] = [[], []];
    const server = createTestServer({ jobs: [Ticking] });
    const broker = server.broker();
    await broker.connect({ timeout: 30_000 });
    const runtime = createRuntime({
      broker: server.broker(),
      jobs: [Ticking],
      ...{ http: false, signals: false, logger: false },
    });
    const ended = runtime.run();
    const publish = (id: string) =>
      broker.publish({
        exchange: 'jobs',
        routingKey: 'ticks',
        body: Buffer.from(JSON.stringify({ wait })),
        properties: {
          messageId: id,
          type: 'Ticking',
          headers: { 'warren-enqueued-at': 1_790_000_000_000, ...headers },
        },
      });
    const last = new Promise<void>((resolve) =>
      runtime.on('job.succeeded', ({ id }) => void (id.endsWith('last') && resolve())),
    );
    await publish('cron:Ticking:1');
    await publish('cron:Ticking:1');
    if (wait) {
      await publish('cron:Ticking:last');
      await until(() => begun.includes('cron:Ticking:last'), { what: 'the last to begin' });
      for (const end of ends) end();
    } else {
      await until(() => begun.length > 0, { what: 'the first to run' });
      await publish('cron:Ticking:1');
      await publish('cron:Ticking:last');
    }
    await last;
    await runtime.stop();
    await ended;
    expect(server.contents('ticks')).toEqual([]);
    return begun;
  }

  const tick = { 'warren-schedule': 'Ticking', 'warren-tick': 1 };

  it.each([true, false])('runs once here (while the first still runs: %s)', async (wait) => {
    expect(await doubled(wait, tick)).toEqual(['cron:Ticking:1', 'cron:Ticking:last']);
  });

  it('is told by its header, not by its looks: two other jobs that look alike both run', async () => {
    expect(await doubled(true, {})).toEqual(['cron:Ticking:1', 'cron:Ticking:1', 'cron:Ticking:last']);
  });
});

describe('client and runtime in memory', () => {
  it('run a job that is enqueued', async () => {
    const server = createTestServer({ jobs });
    const client = await createClient({ broker: server.broker() });
    const events = heard(work(server));
    await client.enqueue(Flaky, { fails: 0 });
    await until(() => events.includes('job.succeeded'));
    expect(server.contents('mail')).toEqual([]);
    await client.close();
  });

  it('wait as long as asked, in virtual time', async () => {
    const clock = new ManualClock();
    const server = createTestServer({ jobs, clock });
    const client = await createClient({ broker: server.broker() });
    const events = heard(work(server));
    await client.enqueue(Flaky, { fails: 3 });
    for (const [wait, queue] of [
      [3000, 'delayed-3s'],
      [3_600_000, 'delayed-1h'],
      [86_400_000, 'delayed-1d'],
    ] as const) {
      await until(() => server.contents(queue).length === 1, { what: `a message in ${queue}` });
      await clock.advance(wait);
    }
    await until(() => events.includes('job.succeeded'));
    expect(Flaky.seen).toEqual([1, 2, 3, 4]);
    expect(events).toEqual(['job.retried', 'job.retried', 'job.retried', 'job.succeeded']);
    await client.close();
  });

  it('park what is dead with its evidence', async () => {
    const server = createTestServer({ jobs });
    const client = await createClient({ broker: server.broker() });
    const events = heard(work(server));
    const { id } = await client.enqueue(Doomed, null);
    await until(() => events.includes('job.dead'));
    const [buried] = server.contents('mail.dead');
    expect(buried?.properties).toMatchObject({
      messageId: id,
      headers: { 'warren-reason': 'dead-by-job', 'warren-error': { message: 'it never could' } },
    });
    await client.close();
  });

  it('lose nothing when every ack is lost and the connection goes', async () => {
    const server = createTestServer({ jobs });
    const client = await createClient({ broker: server.broker() });
    const runtime = work(server);
    const events = heard(runtime);
    server.loseAcks(5);
    await Promise.all(Array.from({ length: 5 }, () => client.enqueue(Flaky, { fails: 0 })));
    await until(() => events.length === 5);
    expect(server.contents('mail').map(({ state }) => state)).toEqual(Array(5).fill('unacked'));
    server.stop();
    server.start();
    await until(() => server.contents('mail').length === 0);
    // What had finished here is acked without running again.
    expect(Flaky.seen).toEqual([1, 1, 1, 1, 1]);
    await client.close();
  });

  it('need the topology: without it an enqueue is unroutable', async () => {
    const client = await createClient({ broker: createTestServer().broker() });
    await expect(client.enqueue(Flaky, { fails: 0 })).rejects.toThrow(UnroutableError);
    await client.close();
  });

  it('keep namespaces apart', async () => {
    const server = createTestServer({ jobs, namespace: 'acme' });
    const client = await createClient({ broker: server.broker(), namespace: 'acme' });
    await client.enqueue(Flaky, { fails: 0 });
    expect(server.contents('acme.mail')).toHaveLength(1);
    await client.close();
  });
});
