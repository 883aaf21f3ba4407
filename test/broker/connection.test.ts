import { createServer, type Server, type Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import type { Broker, BrokerEvents } from '../../src/broker/broker.ts';
import { createRabbitBroker, type RabbitBrokerOptions } from '../../src/broker/rabbitmq.ts';
import { BrokerUnreachableError } from '../../src/core/errors.ts';
import { amqpUrl } from '../support/broker.ts';
import { endsOfEachTest } from '../support/ends.ts';
import { management } from '../support/management.ts';
import { ownTime } from '../support/own-time.ts';
import { freePort } from '../support/port.ts';
import { spawnNode } from '../support/process.ts';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

type Told = { [E in keyof BrokerEvents]: { event: E; data: BrokerEvents[E] } }[keyof BrokerEvents];

const EVENTS = ['connected', 'disconnected', 'blocked', 'unblocked', 'stale'] as const;
const ends = endsOfEachTest();

function rabbit(
  urls: string[],
  options: Partial<RabbitBrokerOptions> = {},
): { broker: Broker; told: Told[] } {
  const broker = createRabbitBroker({ urls, ...options });
  const told: Told[] = [];
  for (const event of EVENTS) broker.on(event, (data) => told.push({ event, data } as Told));
  ends.push(() => broker.close(0));
  return { broker, told };
}

async function proxy(target = amqpUrl()): Promise<FaultProxy> {
  const made = await startProxy(target);
  ends.push(() => made.close());
  return made;
}

/** Accepts connections and says nothing. */
async function silentPeer(): Promise<{ url: string; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket
      .resume()
      .on('error', () => {})
      .on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  return { url: `amqp://user:secret@127.0.0.1:${port}`, sockets };
}

/** Where nobody listens. */
const deadPort = async () => `amqp://user:secret@127.0.0.1:${await freePort()}`;

function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
}

describe('connecting', () => {
  it('opens what was asked for, and says which', async () => {
    const { broker, told } = rabbit([amqpUrl()], { connectionName: 'named' });
    expect(broker.status).toEqual({ connected: false, blocked: undefined, version: undefined });
    await broker.connect({ timeout: 60_000, roles: ['publishing'] });
    expect(broker.status.connected).toBe(true);
    expect(broker.status.version).toMatch(/^\d+\.\d+/);
    expect(told).toEqual([
      { event: 'connected', data: { role: 'publishing', url: expect.not.stringContaining(':guest@') } },
    ]);
    await broker.connect({ timeout: 60_000 });
    expect(told.map(({ data }) => 'role' in data && data.role)).toEqual(['publishing', 'consuming']);
  });

  it('goes on to the next host', async () => {
    const { broker, told } = rabbit([await deadPort(), await deadPort(), amqpUrl()]);
    await broker.connect({ timeout: 60_000, roles: ['consuming'] });
    expect(told.map(({ event }) => event)).toEqual(['disconnected', 'disconnected', 'connected']);
    expect(JSON.stringify(told)).toContain('ECONNREFUSED');
    expect(JSON.stringify(told)).not.toContain('secret');
  });

  it('gives up in time where nobody listens, and tries no more', async () => {
    const { broker, told } = rabbit([await deadPort()], { random: () => 0 });
    // By one that waits for ever, so that there are tries before the other's time begins to run.
    const forEver = expect(broker.connect({ timeout: 0 })).rejects.toThrow(BrokerUnreachableError);
    await until(() => told.length >= 2, { what: 'two tries' });
    const failure = broker.connect({ timeout: 300 });
    await expect(failure).rejects.toThrow(BrokerUnreachableError);
    await expect(failure).rejects.toThrow(/within 300 ms.*user@127\.0\.0\.1:\d+.*ECONNREFUSED/);
    await expect(failure).rejects.not.toThrow(/secret/);
    await forEver;
    const tries = told.length;
    const { broker: other } = rabbit([await deadPort()]);
    await expect(other.connect({ timeout: 300 })).rejects.toThrow(BrokerUnreachableError);
    expect(told.length).toBe(tries);
  });

  it('gives up in time where the peer says nothing', async () => {
    const { url, sockets: open } = await silentPeer();
    const { broker, told } = rabbit([url], { connectTimeoutMs: 100 });
    const forEver = broker.connect({ timeout: 0 }).catch(() => {});
    await until(() => told.length > 0, { what: 'a try that was given up' });
    const failure = expect(broker.connect({ timeout: 700 })).rejects.toThrow(BrokerUnreachableError);
    expect(await ownTime(failure)).toBeLessThan(1500);
    await forEver;
    expect(told[0]).toMatchObject({
      event: 'disconnected',
      data: { reason: 'no answer within 100 ms', lost: false },
    });
    expect(JSON.stringify(told)).not.toContain('secret');
    await until(() => open.size === 0, { what: 'all sockets to be gone' });
  });

  it('can be tried again after it gave up', async () => {
    const way = await proxy();
    await way.refuse();
    const { broker } = rabbit([way.url]);
    await expect(broker.connect({ timeout: 100 })).rejects.toThrow(BrokerUnreachableError);
    await way.resume();
    await broker.connect({ timeout: 60_000 });
    expect(broker.status.connected).toBe(true);
  });

  it('says that it is the virtual host which was refused', async () => {
    const { broker, told } = rabbit([new URL('/nowhere', amqpUrl()).href]);
    const connecting = broker.connect({ timeout: 60_000, roles: ['consuming'] }).catch(() => {});
    await until(() => told.length > 0, { what: 'a refusal' });
    expect(told[0]).toMatchObject({ data: { reason: expect.stringContaining('refused the virtual host') } });
    await broker.close(0);
    await connecting;
  });

  it('says why credentials are refused, goes on trying, and connects once they are right', async () => {
    const user = `u${process.pid}x${Date.now()}`;
    const url = new URL(amqpUrl());
    url.username = user;
    url.password = encodeURIComponent('gehe!m/ü:@#');
    const { broker, told } = rabbit([url.href], { random: () => 0.1 });
    const connecting = broker.connect({ timeout: 60_000, roles: ['consuming'] });
    await until(() => told.length >= 2, { what: 'two refusals' });
    expect(told[0]).toMatchObject({
      data: { reason: expect.stringContaining('ACCESS_REFUSED'), lost: false },
    });
    await withUser(user, 'gehe!m/ü:@#', async () => {
      await connecting;
      expect(JSON.stringify(told)).not.toMatch(/gehe!m|gehe%21m/);
      await broker.close(0);
    });
  });
});

async function withUser(name: string, password: string, use: () => Promise<void>): Promise<void> {
  await put(`/users/${name}`, { password, tags: '' });
  ends.push(() => management().remove(`/users/${name}`));
  await put(`/permissions/%2F/${name}`, { configure: '.*', write: '.*', read: '.*' });
  await use();
}

async function put(path: string, body: unknown): Promise<void> {
  const { managementUrl } = await import('../support/broker.ts');
  const { origin, username, password } = new URL(managementUrl());
  const response = await fetch(`${origin}/api${path}`, {
    method: 'PUT',
    headers: {
      authorization: `Basic ${btoa(`${username}:${password}`)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
}

describe('losing a connection', () => {
  it('is told once, with a reason, and mended', async () => {
    const way = await proxy();
    const { broker, told } = rabbit([way.url]);
    await broker.connect({ timeout: 60_000 });
    told.length = 0;
    way.cut();
    await until(() => told.filter(({ event }) => event === 'connected').length === 2, {
      what: 'both to be back',
    });
    const lost = told.filter(({ event }) => event === 'disconnected');
    expect(lost).toHaveLength(2);
    for (const { data } of lost)
      expect(data).toMatchObject({ lost: true, reason: expect.stringMatching(/\w/) });
    expect(broker.status.connected).toBe(true);
  });

  it('is noticed where the peer falls silent, by heartbeats', async () => {
    const way = await proxy();
    const { broker, told } = rabbit([way.url], { heartbeat: 1 });
    await broker.connect({ timeout: 60_000, roles: ['consuming'] });
    told.length = 0;
    way.stall();
    await until(() => !broker.status.connected, { what: 'the silence to be noticed' });
    expect(told[0]).toMatchObject({
      event: 'disconnected',
      data: { lost: true, reason: 'Heartbeat timeout' },
    });
    await way.resume();
    await until(() => broker.status.connected, { what: 'the connection to be back' });
  });

  it('hurries back when somebody waits: no deadline passes in a long pause between two tries', async () => {
    const way = await proxy();
    // Every pause is as long as it may be: 0.1, 0.2, 0.4 … 6.4 s, 10 s.
    const { broker, told } = rabbit([way.url], { random: () => 1 });
    await broker.connect({ timeout: 60_000, roles: ['publishing'] });
    await way.refuse();
    const tries = () => told.filter(({ event }) => event === 'disconnected').length;
    await until(() => tries() >= 7, { within: 60_000, what: 'a pause of six seconds' });
    await way.resume();
    const before = way.accepted;
    const publishing = broker
      .publish({
        exchange: '',
        routingKey: 'nobody',
        body: Buffer.from('x'),
        properties: { messageId: 'x', headers: {} },
      })
      .catch((error) => error);
    const next = until(() => way.accepted > before, { every: 5, what: 'the next try' });
    expect(await ownTime(next)).toBeLessThan(3000);
    expect(await publishing).toMatchObject({ code: 'WARREN_UNROUTABLE' });
  });

  it('leaves nothing behind, a hundred times over', async () => {
    const way = await proxy();
    const queue = `reconnects-${process.pid}-${Date.now()}`;
    const { broker } = rabbit([way.url], { random: () => 0 });
    await broker.connect({ timeout: 60_000 });
    await broker.admin((channel) =>
      channel.declareQueue({ name: queue, arguments: { 'x-queue-type': 'quorum' } }),
    );
    ends.push(() => deleteQueue(queue));
    const subscriptions = [1, 2, 3].map(() =>
      broker.subscribe(queue, { prefetch: 5, onDelivery: (delivery) => delivery.ack() }),
    );
    const allBack = () =>
      until(() => broker.status.connected && subscriptions.every(({ attached }) => attached), {
        what: 'all to be back',
      });
    const publish = () =>
      broker.publish({
        exchange: '',
        routingKey: queue,
        body: Buffer.from('x'),
        properties: { messageId: 'x', headers: {} },
      });
    await allBack();
    await publish();
    const before = { sockets: sockets(), timers: timers() };
    for (let cut = 0; cut < 100; cut++) {
      way.cut();
      await until(() => !broker.status.connected, { every: 1, what: 'the cut to be noticed' });
      await allBack();
      if (cut % 10 === 0) await publish();
    }
    await publish();
    await until(() => sockets() <= before.sockets, { what: 'old sockets to be gone' });
    await until(() => timers() <= before.timers + 2, { what: 'old timers to be gone' });
    await until(() => way.open === 2, { what: 'two connections to be left' });
    await until(async () => (await broker.admin((channel) => channel.checkQueue(queue))).consumers === 3, {
      what: 'exactly three consumers',
    });
    await Promise.all(subscriptions.map((subscription) => subscription.close(2000)));
  }, 240_000);
});

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

async function deleteQueue(name: string): Promise<void> {
  await management().remove(`/queues/%2F/${encodeURIComponent(name)}`);
}

describe('closing', () => {
  it.each([
    ['while it is being opened', silentPeer, (_: Told[], open: Set<Socket>) => open.size === 2],
    [
      'while it waits for the next try',
      async () => ({ url: await deadPort(), sockets: new Set<Socket>() }),
      (told: Told[]) => told.length >= 6,
    ],
  ])('ends at once %s', async (_, start, isTheMoment) => {
    const peer = await start();
    const { broker, told } = rabbit([peer.url], { random: () => 1 });
    const connecting = expect(broker.connect({ timeout: 0 })).rejects.toThrow(
      /closed while it was connecting/,
    );
    await until(() => isTheMoment(told, peer.sockets), { what: 'the moment to close' });
    expect(await ownTime(broker.close(5000))).toBeLessThan(500);
    await connecting;
    await until(() => peer.sockets.size === 0, { what: 'sockets to be gone' });
  });

  it('ends in time where the peer has fallen silent', async () => {
    const way = await proxy();
    const { broker } = rabbit([way.url]);
    await broker.connect({ timeout: 60_000 });
    way.stall();
    expect(await ownTime(broker.close(500))).toBeLessThan(1500);
  });

  it.each([
    ['connected', amqpUrlOf],
    ['unreachable', () => 'amqp://127.0.0.1:1'],
  ])('lets a process that was %s exit by itself', async (_, url) => {
    const program = `
      import { createRabbitBroker } from './src/broker/rabbitmq.ts';
      const broker = createRabbitBroker({ urls: [${JSON.stringify(url())}] });
      broker.subscribe('nowhere', { prefetch: 1, onDelivery() {} });
      broker.publish({ exchange: '', routingKey: 'nowhere', body: Buffer.from('x'), properties: { headers: {} } }, { deadline: 60_000 }).catch(() => {});
      await broker.connect({ timeout: 1000 }).catch(() => {});
      await broker.close(500);
      // By its own time, which keeps it no longer: a busy machine may take as long as it likes.
      let ticks = 0;
      setInterval(() => ticks++, 10).unref();
      process.on('exit', () => console.log('left after', ticks * 10, 'ms'));
    `;
    await using running = spawnNode(['--import', 'tsx', '--input-type=module', '-e', program]);
    expect(await running.ended()).toEqual({ code: 0, signal: null });
    const [, left] = /left after (\d+) ms/.exec(running.stdout) ?? [];
    expect(Number(left)).toBeLessThan(3000);
  });
});

function amqpUrlOf(): string {
  return amqpUrl();
}
