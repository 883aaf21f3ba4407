/** Story 5: the pipeline. One app becomes several services. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import Fastify, { type FastifyInstance } from 'fastify';
import { receiver } from '../../examples/pipeline/receiver.ts';
import { type Client, createClient } from '../../src/index.ts';
import { amqpUrl } from '../support/broker.ts';
import { management } from '../support/management.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis.ts';
import { describeWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { type Program, startWorker } from './support.ts';

/** The services behind the pipeline, as a test wants them to behave. */
class Outside {
  readonly app: FastifyInstance = Fastify({ forceCloseConnections: true });
  /** By idempotency key, how often it was sent. */
  readonly messages = new Map<string, number>();
  /** A service that is away cuts the connection. */
  away: 'permissions' | 'interface' | undefined;
  busy = false;
  status = 'delivered';

  constructor() {
    this.app.addHook('onRequest', async ({ url, raw }, reply) => {
      if (!this.away || !url.startsWith(`/${this.away}`)) return;
      reply.hijack();
      raw.destroy();
    });
    this.app.get<{ Params: { customer: string } }>('/permissions/:customer', async ({ params }) => ({
      allowed: params.customer !== 'nobody',
    }));
    this.app.post('/interface/messages', async ({ headers }, reply) => {
      if (this.busy) return reply.code(503).send();
      const key = String(headers['idempotency-key']);
      this.messages.set(key, (this.messages.get(key) ?? 0) + 1);
      return {};
    });
    this.app.get('/interface/messages/:id', async () => ({ status: this.status }));
  }

  reset(): void {
    Object.assign(this, { away: undefined, busy: false, status: 'delivered' });
    this.messages.clear();
  }
}

describe('the pipeline', () => {
  const outside = new Outside();
  const namespace: TestNamespace = testNamespace();
  let outsideUrl: string;
  let services: Program[];
  let client: Client;
  let entrance: FastifyInstance;

  /** Each service in a process of its own. */
  beforeAll(async () => {
    outsideUrl = await outside.app.listen({ port: 0, host: '127.0.0.1' });
    const env = { PERMISSIONS_URL: `${outsideUrl}/permissions`, INTERFACE_URL: `${outsideUrl}/interface` };
    const where = { url: amqpUrl(), namespace: namespace.name, folder: 'workers/pipeline', env };
    client = await createClient(where);
    entrance = receiver(client);
    services = await Promise.all(
      ['check-allowed:5', 'send-to-interface', 'status-received'].map((queue) =>
        startWorker({ ...where, queues: [queue] }),
      ),
    );
  }, 240_000);
  afterEach(async () => {
    outside.reset();
    await Promise.all((await queues()).map((name) => management().remove(`/queues/%2F/${name}/contents`)));
  }, 120_000);
  afterAll(async () => {
    await Promise.all((services ?? []).map((service) => service[Symbol.asyncDispose]()));
    await entrance.close();
    await outside.app.close();
    await client.close();
    await namespace.remove();
  });

  const request = (id: string, payload: object) =>
    entrance.inject({ method: 'POST', url: '/requests', headers: { 'x-request-id': id }, payload });

  const ann = { customer: 'ann', text: 'hello' };

  const ours = async () =>
    (await management().queues()).filter(({ name }) => name.startsWith(`${namespace.name}.`));
  const queues = async () => (await ours()).map(({ name }) => name);

  /** Messages by queue, without the namespace; empty ones left out. */
  async function messages(): Promise<Record<string, number>> {
    const counts = (await ours()).map(
      ({ name, messages = 0 }) => [name.slice(namespace.name.length + 1), messages] as const,
    );
    return Object.fromEntries(counts.filter(([, count]) => count > 0).sort());
  }

  /** Waits until the queues hold this and nothing else. */
  const settled = (expected: Record<string, number>) =>
    until(
      async () => {
        expect(await messages()).toEqual(expected);
        return true;
      },
      { within: 60_000, every: 100, what: `the queues to hold ${JSON.stringify(expected)}` },
    );

  const logged = (text: string) =>
    services.flatMap(({ process }) => process.lines.filter((line) => line.includes(text)));

  it('carries a request through every service under its own id; the same id twice is harmless', async () => {
    for (const id of ['order-1', 'order-1', 'order-2']) {
      const answer = await request(id, ann);
      expect([answer.statusCode, answer.json()]).toEqual([202, { id }]);
    }
    await until(() => logged('status received: delivered').length === 3, {
      within: 60_000,
      what: 'three statuses',
    });

    await until(() => logged('"msg":"job succeeded"').length === 9, { what: 'three jobs of each request' });

    expect([...outside.messages.keys()].sort()).toEqual(['order-1', 'order-2']);
    const ids = logged('status received').map((line) => (JSON.parse(line) as { id: string }).id);
    expect(ids.sort()).toEqual(['order-1', 'order-1', 'order-2']);
    await settled({});
  }, 240_000);

  it('takes "not allowed" as done, and bad data as dead without a retry', async () => {
    await request('not-allowed', { customer: 'nobody', text: 'hello' });
    await request('bad-data', { customer: 'ann' });
    const told = (id: string, msg: string) =>
      logged(`"msg":"${msg}"`).some((line) => line.includes(`"${id}"`));
    await until(() => told('not-allowed', 'job succeeded') && told('bad-data', 'job is dead'), {
      within: 60_000,
      what: 'the end of both',
    });

    expect(logged('not allowed: nobody')).toHaveLength(1);
    await settled({ 'check-allowed.dead': 1 });
    expect(outside.messages.size).toBe(0);
    expect(logged('the request names no customer')[0]).toContain('bad-data');
  }, 180_000);

  it('waits five minutes for the permissions, and for an interface five when it is busy and ten when it is away', async () => {
    outside.away = 'permissions';
    await request('one', ann);
    await settled({ 'delayed-5m': 1 });

    outside.reset();
    outside.busy = true;
    await request('two', ann);
    await settled({ 'delayed-5m': 2 });

    outside.reset();
    outside.away = 'interface';
    await request('three', ann);
    await settled({ 'delayed-10m': 1, 'delayed-5m': 2 });
  }, 300_000);

  it('asks again in a minute for a status that is not there yet, which is no failure', async () => {
    outside.status = 'pending';
    await request('patience', ann);
    await settled({ 'delayed-1m': 1 });
    expect(logged('attempt failed').filter((line) => line.includes('patience'))).toEqual([]);
  }, 180_000);

  it('says 503 and a typed reason, never 202, when the broker has not got it', async () => {
    await using proxy = await startProxy();
    const cut = await createClient({ url: proxy.url, namespace: namespace.name });
    await proxy.refuse();
    const away = await post(receiver(cut, '1s'));
    expect([away.statusCode, away.json().code]).toEqual([503, 'WARREN_DEADLINE']);
    await cut.close();

    const empty = await createClient({ url: amqpUrl(), namespace: `${namespace.name}-empty` });
    const nowhere = await post(receiver(empty));
    expect([nowhere.statusCode, nowhere.json().code]).toEqual([503, 'WARREN_UNROUTABLE']);
    await empty.close();
  });

  describeWith('redis-server')('with two senders that share a Redis', () => {
    it('sends a request once that comes five times, to whichever of them it comes', async () => {
      await using redis = await startRedis();
      await using space = testNamespace();
      const env = { REDIS_URL: redis.url, INTERFACE_URL: `${outsideUrl}/interface` };
      const where = { url: amqpUrl(), namespace: space.name, env };
      const config = 'examples/pipeline/warren.config.ts';
      await using one = await startWorker({ ...where, config, queues: ['send-to-interface'] });
      await using two = await startWorker({ ...where, config, queues: ['send-to-interface'] });
      await using three = await startWorker({
        ...where,
        folder: 'workers/pipeline',
        queues: ['status-received'],
      });
      const lines = (text: string) =>
        [one, two, three].flatMap(({ process }) => process.lines.filter((line) => line.includes(text)));
      const sends = (count: number) =>
        until(
          () => lines('"job succeeded"').filter((line) => line.includes('SendToInterface')).length === count,
          {
            within: 60_000,
            what: `${count} successes`,
          },
        );
      const sender = await createClient(where);
      const send = () =>
        sender.enqueue('SendToInterface', ann, { queue: 'send-to-interface', id: 'order-1' });

      try {
        await send();
        await sends(1);
        await Promise.all([send(), send(), send(), send()]);
        await sends(5);
        expect([...outside.messages]).toEqual([['order-1', 1]]);
        expect(lines('done before: not run again')).toHaveLength(4);
      } finally {
        await sender.close();
      }
    }, 240_000);
  });

  const post = (app: FastifyInstance) => app.inject({ method: 'POST', url: '/requests', payload: ann });
});
