import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { BrokerStatus } from '../../src/broker/broker.ts';
import { ConfigurationError } from '../../src/core/errors.ts';
import type { Phase, QueueState } from '../../src/health.ts';
import { healthSource } from '../../src/http/health.ts';
import { createHttpServer, type HttpServer } from '../../src/http/server.ts';
import type { BrokerSnapshot } from '../../src/inspect.ts';

const MAIL: QueueState = {
  queue: 'mail',
  running: 4,
  concurrency: 20,
  attached: true,
  oldestRunningSeconds: 1,
};

/** What the server is told; a test changes what it wants to see. */
class World {
  phase: Phase = 'running';
  queues: QueueState[] = [MAIL];
  broker: BrokerStatus = { connected: true, version: '4.3.1' };
  snapshot: BrokerSnapshot | undefined = {
    queues: { mail: { ready: 7, dead: 2, consumers: 3 } },
    delayed: { '3s': 12 },
    unrouted: 0,
    notes: [],
  };
  asked = 0;
  metrics: () => Promise<string> = async () => 'warren_broker_connected 1\n';
  readonly server: HttpServer;

  constructor(port = 0) {
    const health = healthSource({
      version: '1.2.3',
      phase: () => this.phase,
      queues: () => this.queues,
      broker: () => this.broker,
      snapshot: async () => {
        this.asked += 1;
        return this.snapshot;
      },
    });
    const metrics = { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: () => this.metrics() };
    this.server = createHttpServer({ port, host: '127.0.0.1', health, metrics });
    open.push(this.server);
  }

  async get(url: string, method: 'GET' | 'HEAD' | 'POST' = 'GET') {
    return this.server.app.inject({ method, url });
  }
}

const open: HttpServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

describe('GET /livez', () => {
  it('is green whatever the broker and the queues do', async () => {
    const world = new World();
    world.phase = 'draining';
    world.broker = { connected: false };
    world.queues = [];
    const { statusCode, json } = await world.get('/livez');
    expect([statusCode, json()]).toEqual([200, { status: 'ok' }]);
    expect(world.asked).toBe(0);
  });
});

describe('GET /readyz', () => {
  it('is green while every consumer is attached', async () => {
    const { statusCode, json } = await new World().get('/readyz');
    expect([statusCode, json()]).toEqual([200, { status: 'ready' }]);
  });

  it('does not ask the broker', async () => {
    const world = new World();
    await world.get('/readyz');
    expect(world.asked).toBe(0);
  });

  it('tells which consumer is not attached', async () => {
    const world = new World();
    world.queues = [MAIL, { ...MAIL, queue: 'report', attached: false }];
    const { statusCode, json } = await world.get('/readyz');
    expect(statusCode).toBe(503);
    expect(json()).toEqual({ status: 'unready', reasons: ["queue 'report': not consuming"] });
  });

  it.each(['starting', 'draining', 'stopped'] as const)('is red while %s', async (phase) => {
    const world = new World();
    world.phase = phase;
    const { statusCode, json } = await world.get('/readyz');
    expect([statusCode, json()]).toEqual([503, { status: 'unready', reasons: [phase] }]);
  });
});

describe('GET /healthz', () => {
  it('has exactly the shape of the contract', async () => {
    const { statusCode, json } = await new World().get('/healthz');
    expect(statusCode).toBe(200);
    expect(json()).toEqual({
      status: 'ok',
      version: '1.2.3',
      broker: { connected: true, version: '4.3.1' },
      queues: { mail: { ready: 7, running: 4, dead: 2, consumers: 3 } },
      delayed: { '3s': 12 },
      unrouted: 0,
    });
  });

  it('is down, and 503, while the broker is not connected, and does not wait for it', async () => {
    const world = new World();
    world.broker = { connected: false };
    const { statusCode, json } = await world.get('/healthz');
    expect(statusCode).toBe(503);
    expect(json()).toEqual({
      status: 'down',
      version: '1.2.3',
      broker: { connected: false, version: null },
      queues: { mail: { ready: null, running: 4, dead: null, consumers: null } },
      delayed: {},
      unrouted: null,
      reasons: ['the broker is not connected'],
    });
    expect(world.asked).toBe(0);
  });

  const snapshot = (more: Partial<BrokerSnapshot>): BrokerSnapshot => ({
    queues: {},
    delayed: {},
    unrouted: 0,
    notes: [],
    ...more,
  });
  it.each<[string, Partial<World>]>([
    ['the broker did not answer in time', { snapshot: undefined }],
    ['the broker takes no jobs: low on disk', { broker: { connected: true, blocked: 'low on disk' } }],
    [
      "queue 'mail.dead' does not exist",
      { snapshot: snapshot({ notes: ["queue 'mail.dead' does not exist"] }) },
    ],
    ["queue 'mail': not consuming", { queues: [{ ...MAIL, attached: false }] }],
    ['draining', { phase: 'draining' }],
    [
      "queue 'mail': 3 ready and nobody consumes",
      {
        queues: [{ ...MAIL, running: 0 }],
        snapshot: snapshot({ queues: { mail: { ready: 3, dead: 0, consumers: 0 } } }),
      },
    ],
  ])('is degraded, and 200, when %s', async (reason, change) => {
    const world = Object.assign(new World(), change);
    const { statusCode, json } = await world.get('/healthz');
    expect(statusCode).toBe(200);
    expect(json()).toMatchObject({ status: 'degraded', reasons: [reason] });
  });

  it('is ok while its own jobs run: a worker at work may be between two consumers', async () => {
    const world = new World();
    world.snapshot = snapshot({ queues: { mail: { ready: 3, dead: 0, consumers: 0 } } });
    expect((await world.get('/healthz')).json()).toMatchObject({ status: 'ok' });
  });
});

describe('GET /metrics', () => {
  it('is what the metrics say, with their content type', async () => {
    const { statusCode, headers, body } = await new World().get('/metrics');
    expect([statusCode, body]).toEqual([200, 'warren_broker_connected 1\n']);
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  });

  it('is 500 without inner words when they fail', async () => {
    const world = new World();
    world.metrics = () => Promise.reject(new Error('amqp://user:hunter2@host'));
    const { statusCode, body } = await world.get('/metrics');
    expect(statusCode).toBe(500);
    expect(body).not.toContain('hunter2');
  });
});

describe('every other request', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/livez/more'],
    ['POST', '/livez'],
  ] as const)('%s %s is 404 in JSON', async (method, url) => {
    const { statusCode, json } = await new World().get(`${url}?secret=1`, method);
    expect([statusCode, json()]).toEqual([
      404,
      { status: 'error', message: `${method} ${url} is not served here` },
    ]);
  });

  it.each(['/livez', '/readyz', '/healthz', '/metrics'])('HEAD %s answers without a body', async (url) => {
    const { statusCode, body } = await new World().get(url, 'HEAD');
    expect([statusCode, body]).toEqual([200, '']);
  });

  it('may not be kept by a cache', async () => {
    for (const url of ['/livez', '/nowhere'])
      expect((await new World().get(url)).headers['cache-control']).toBe('no-store');
  });
});

describe('the server', () => {
  it('takes a free port when asked for 0, and answers there', async () => {
    const world = new World();
    const port = await world.server.listen();
    expect(port).toBeGreaterThan(0);
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
  });

  it('says which port is taken and how to choose another', async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, '127.0.0.1', () => resolve((other.address() as { port: number }).port));
    });
    const listening = new World(port).server.listen();
    await expect(listening).rejects.toThrow(ConfigurationError);
    await expect(listening).rejects.toThrow(`port ${port} on 127.0.0.1 is in use by another program`);
    await new Promise((resolve) => other.close(resolve));
  });

  it('closes at once although a client keeps its connection open', async () => {
    const world = new World();
    const port = await world.server.listen();
    const client = connect(port, '127.0.0.1').on('error', () => {});
    client.write('GET /livez HTTP/1.1\r\nhost: here\r\n\r\n');
    await once(client, 'data');
    const began = performance.now();
    await world.server.close();
    // The client would keep it for ever, the server for 72 s (Fastify's keepAliveTimeout).
    expect(performance.now() - began).toBeLessThan(30_000);
    client.destroy();
  });
});
