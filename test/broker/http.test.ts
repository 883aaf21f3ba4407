/** What a running worker tells over HTTP, on a real broker that is there, silent, or gone. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Client, createClient, createRuntime, dead, Job, type Runtime } from 'warren';
import { testNamespace } from '../support/namespace.ts';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

let finish: () => void = () => {};

class Fine extends Job {
  static override queue = 'mail';
  perform(): void {}
}

class Doomed extends Job {
  static override queue = 'mail';
  static override retry = { attempts: 2, backoff: ['1h'] };
  perform({ dies }: { dies: boolean }) {
    if (dies) return dead('as asked');
    throw new Error('not yet');
  }
}

class Long extends Job {
  static override queue = 'mail';
  perform(): Promise<void> {
    return new Promise((resolve) => {
      finish = resolve;
    });
  }
}

const space = testNamespace();
let proxy: FaultProxy;
let runtime: Runtime;
let client: Client;
let base: string;
let ended: Promise<number>;

beforeAll(async () => {
  proxy = await startProxy();
  const started = await startRuntime(proxy.url);
  ({ runtime, ended, base } = started);
  client = await createClient({ namespace: space.name });
});

afterAll(async () => {
  finish();
  await proxy?.resume();
  await runtime?.stop();
  await ended;
  await client?.close();
  await proxy?.close();
  await space.remove();
});

async function startRuntime(url: string) {
  const made = createRuntime({
    url,
    namespace: space.name,
    jobs: [Fine, Doomed, Long],
    http: { port: 0, host: '127.0.0.1' },
    signals: false,
    logger: false,
  });
  const port = new Promise<number | undefined>((resolve) => {
    made.on('runtime.started', (event) => resolve(event.port));
  });
  const running = made.run();
  const address = await Promise.race([port, running.then(() => undefined)]);
  return { runtime: made, ended: running, base: `http://127.0.0.1:${address}` };
}

interface Answer {
  status: number;
  text: string;
  tookMs: number;
}

async function get(path: string): Promise<Answer> {
  const began = performance.now();
  const response = await fetch(base + path, { signal: AbortSignal.timeout(30_000) });
  return { status: response.status, text: await response.text(), tookMs: performance.now() - began };
}

/** What a route may take. A busy machine adds to it and never takes away, so one answer in time shows it. */
const IN_TIME_MS = 2000;

/** The answer, if it took more than a second and was in time. */
async function slow(path: string): Promise<Answer | undefined> {
  const answer = await get(path);
  return answer.tookMs > 1000 && answer.tookMs < IN_TIME_MS ? answer : undefined;
}

const isReady = () => get('/readyz').then(({ status }) => status === 200);
const health = async () => JSON.parse((await get('/healthz')).text);
const valueIn = (text: string, series: string) => {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
};
const metric = async (series: string) => valueIn((await get('/metrics')).text, series);

/** All of it in one scrape. What the broker counts lags, and is 0 while a queue is slow to answer. */
async function untilScraped(wanted: Record<string, number>): Promise<void> {
  let seen = {};
  const look = async () => {
    const { text } = await get('/metrics');
    seen = Object.fromEntries(Object.keys(wanted).map((series) => [series, valueIn(text, series)]));
    return isDeepStrictEqual(seen, wanted);
  };
  await until(look).catch(() => {}); // said below
  expect(seen).toEqual(wanted);
}

describe('a worker over HTTP', () => {
  it('is ready and healthy, in the shape of the contract', async () => {
    await until(isReady, { what: 'readiness' });
    // The broker may be slow to count; then it says so, or 0.
    const well = async () => {
      const said = await health();
      return said.status === 'ok' && said.queues.mail.consumers === 1 ? said : undefined;
    };
    expect(await until(well, { what: 'health' })).toEqual({
      status: 'ok',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      broker: { connected: true, version: expect.stringMatching(/^\d+\.\d+/) },
      queues: { mail: { ready: 0, running: 0, dead: 0, consumers: 1 } },
      delayed: expect.objectContaining({ '3s': 0, '1h': 0, '1d': 0 }),
      unrouted: 0,
    });
    expect((await get('/livez')).status).toBe(200);
  });

  it('counts what jobs do and what waits on the broker', async () => {
    await Promise.all([
      client.enqueue(Fine, {}),
      client.enqueue(Doomed, { dies: true }),
      client.enqueue(Doomed, { dies: false }),
    ]);
    await until(async () => (await health()).delayed['1h'] === 1, { what: 'a job in delayed-1h' });
    await until(async () => (await health()).queues.mail.dead === 1, { what: 'a dead job' });
    const labels = (job: string) => `job="${job}",queue="mail"`;
    // The broker has them before this process hears that it does.
    await untilScraped({
      [`warren_jobs_finished_total{${labels('Fine')},outcome="succeeded"}`]: 1,
      [`warren_job_duration_seconds_count{${labels('Fine')},outcome="succeeded"}`]: 1,
      [`warren_jobs_finished_total{${labels('Doomed')},outcome="dead"}`]: 1,
      [`warren_attempts_total{${labels('Doomed')},outcome="failed"}`]: 1,
      [`warren_retries_scheduled_total{${labels('Doomed')}}`]: 1,
      'warren_queue_messages{queue="mail",state="dead"}': 1,
      'warren_delayed_messages{delay="1h"}': 1,
      'warren_queue_consumers{queue="mail"}': 1,
    });
  });

  it('answers in time while the broker takes what is sent and says nothing', async () => {
    proxy.stall();
    try {
      // At first there is a fresh answer; then one has to wait for the broker, and gives up on it.
      const waited = await until(() => slow('/healthz'), { what: 'a look at the silent broker', every: 100 });
      expect(waited.status).toBe(200);
      expect(JSON.parse(waited.text).queues.mail).toMatchObject({ dead: 1, consumers: 1 });
      const together = async () => {
        const answers = await Promise.all(['/livez', '/readyz', '/healthz', '/metrics'].map(get));
        return answers.every(({ tookMs }) => tookMs < IN_TIME_MS) ? answers : undefined;
      };
      const answers = await until(together, { what: 'all of them in time' });
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    } finally {
      await proxy.resume();
    }
  });

  it('is not ready, and down, while the broker is gone; alive all the time; then ready again by itself', async () => {
    // A silence that was long enough has cost both connections.
    await until(isReady, { what: 'readiness', within: 60_000 });
    await until(async () => (await metric('warren_broker_connected')) === 1, { what: 'both connections' });
    const before = (await metric('warren_reconnects_total')) ?? Number.NaN;
    await proxy.refuse();
    await until(async () => !(await isReady()), { what: 'readyz to turn red' });
    const ready = await get('/readyz');
    expect(JSON.parse(ready.text)).toEqual({ status: 'unready', reasons: ["queue 'mail': not consuming"] });
    const down = async () => {
      const answer = await get('/healthz');
      return answer.status === 503 && answer.tookMs < IN_TIME_MS ? answer : undefined;
    };
    const { text } = await until(down, { what: 'healthz to turn red, in time' });
    expect(JSON.parse(text)).toMatchObject({ status: 'down', broker: { connected: false } });
    expect((await get('/livez')).status).toBe(200);
    expect(await metric('warren_broker_connected')).toBe(0);
    expect(await metric('warren_consumers_attached{queue="mail"}')).toBe(0);
    expect(await metric('warren_queue_messages{queue="mail",state="ready"}')).toBeUndefined();
    await proxy.resume();
    await until(isReady, { what: 'readiness', within: 60_000 });
    await until(async () => (await metric('warren_broker_connected')) === 1, { what: 'both connections' });
    expect(await metric('warren_reconnects_total')).toBe(before + 2);
  });

  it('is unready from the first moment of a drain, while a job still runs', async () => {
    await client.enqueue(Long, {});
    await until(async () => (await health()).queues.mail.running === 1, { what: 'a running job' });
    expect(await metric('warren_jobs_running{queue="mail"}')).toBe(1);
    expect(await metric('warren_oldest_running_job_seconds{queue="mail"}')).toBeGreaterThan(0);
    const stopped = runtime.stop();
    const { status, text } = await get('/readyz');
    expect([status, JSON.parse(text)]).toEqual([503, { status: 'unready', reasons: ['draining'] }]);
    expect((await get('/livez')).status).toBe(200);
    finish();
    expect(await stopped).toBe(0);
  });
});
