/** What fell due while its work queue was gone comes home when the queue stands again: nothing lost, doubled or changed. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Events, Job, type JobContext, type Runtime, type RuntimeOptions } from 'warren';
import type { Broker, MessageProperties, PulledMessage } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { EventBus } from '../../src/core/events.ts';
import { Rerouter } from '../../src/reroute.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { startProxy } from '../support/proxy.ts';
import { startRuntime, type TestRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';
import { rabbitUser } from '../support/user.ts';

class Mail extends Job {
  static override queue = 'mail';
  static override retry = { attempts: 5, backoff: ['1s'] };
  static runs: { id: string; attempt: number }[] = [];
  perform(_: unknown, { id, attempt }: JobContext) {
    Mail.runs.push({ id, attempt });
  }
}

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let space: TestNamespace;
let names: Names;
const endings: AsyncDisposable[] = [];

beforeAll(() => broker.connect({ timeout: 30_000 }));
afterAll(() => broker.close(1_000));

beforeEach(async () => {
  Mail.runs = [];
  space = testNamespace();
  names = namesFor(space.name);
  await declare('mail');
});

afterEach(async () => {
  for (const ending of endings.splice(0).reverse()) await ending[Symbol.asyncDispose]();
  await space.remove();
});

const declare = (...queues: string[]) =>
  applyTopology(broker, planTopology({ names, queues: queues.map((name) => ({ name })), delays: [300] }));

const remove = (queue: string) => broker.admin((channel) => channel.deleteQueue(names.queue(queue)));

async function work(
  options: Partial<RuntimeOptions> = {},
  beforeRun?: (runtime: Runtime) => void,
): Promise<TestRuntime> {
  const started = await startRuntime([Mail], { namespace: space.name, ...options }, {}, beforeRun);
  endings.push(started);
  return started;
}

interface Parked {
  id: string;
  to?: string;
  properties?: Partial<MessageProperties>;
  body?: Buffer;
}

/** Puts messages into `unrouted`, in this order. */
async function park(...messages: Parked[]): Promise<void> {
  for (const { id, to = names.queue('mail'), properties, body = Buffer.from('null') } of messages)
    await broker.publish({
      exchange: names.unrouted,
      routingKey: to,
      body,
      properties: { messageId: id, type: 'Mail', headers: {}, ...properties },
    });
}

const numbered = (name: string, count: number): Parked[] =>
  Array.from({ length: count }, (_, index) => ({ id: `${name}-${index}` }));

/** Looked at and given back, oldest first. */
function lookInto(queue: string): Promise<PulledMessage[]> {
  return broker.admin(async (channel) => {
    const found: PulledMessage[] = [];
    for (let one = await channel.get(queue); one; one = await channel.get(queue)) found.push(one);
    return found;
  });
}

const firstOf = (queue: string) =>
  until(async () => (await lookInto(queue))[0], { what: `a message in ${queue}` });
const idsIn = async (queue: string) => (await lookInto(queue)).map(({ properties }) => properties.messageId);
const idsRun = () => Mail.runs.map(({ id }) => id);

/** One that runs no jobs, so that what it sends on can be looked at. */
async function reroute(...queues: string[]): Promise<void> {
  const bus = new EventBus();
  const rerouter = new Rerouter({ broker, bus, names, queues, random: Math.random });
  const done = new Promise((resolve) => bus.on('jobs.rerouted', resolve));
  rerouter.start();
  await done;
  expect(await rerouter.stop(5_000)).toBe(true);
}

describe('a worker that starts', () => {
  it('takes home what fell due for its queue, as it was, and lets the rest lie in its order', async () => {
    const headers = { 'warren-attempt': 3, 'warren-error': { name: 'Error', message: 'no' }, custom: 'kept' };
    await park(
      { id: 'other-1', to: names.queue('report') },
      { id: 'job-1', properties: { headers, timestamp: 1_700_000_000 } },
      { id: 'odd-1', to: '' },
      { id: 'job-2' },
      { id: 'other-2', to: 'mail' },
      { id: 'job-3', body: Buffer.from('{"half') },
      { id: 'other-3', to: names.queue('report') },
    );
    const told: Events['jobs.rerouted'][] = [];
    const { stop } = await work({ queues: { mail: { concurrency: 1 } } }, (runtime) =>
      runtime.on('jobs.rerouted', (event) => told.push(event)),
    );
    await until(() => Mail.runs.length === 2, { what: 'two runs' });
    expect(Mail.runs).toEqual([
      { id: 'job-1', attempt: 3 },
      { id: 'job-2', attempt: 1 },
    ]);
    const dead = await firstOf(names.deadQueue('mail'));
    expect(dead.properties.messageId).toBe('job-3');
    expect(dead.body.toString()).toBe('{"half');
    // At one go, unless the broker was silent in between.
    const sum = () => told.reduce((count, event) => count + event.count, 0);
    await until(() => sum() >= 3, { what: 'the event' });
    // Whoever looks at the same moment as the worker would see a part of it.
    await stop();
    expect([sum(), new Set(told.map(({ queue }) => queue))]).toEqual([3, new Set(['mail'])]);
    expect(await idsIn(names.unroutedQueue)).toEqual(['other-1', 'odd-1', 'other-2', 'other-3']);
  });

  it('changes no header but those of the broker', async () => {
    await remove('mail');
    // As from a level, whose second key travels along.
    const headers = { 'warren-attempt': 2, 'warren-due-at': 1_700_000_000_000, CC: ['@0.0.0.0.0.0.0.1'] };
    await broker.publish({
      exchange: names.delay(300),
      routingKey: names.queue('mail'),
      body: Buffer.from('{"to":"me"}'),
      properties: { messageId: 'later', type: 'Mail', timestamp: 1_700_000_000, headers },
    });
    const parked = await firstOf(names.unroutedQueue);
    await declare('mail');
    await reroute('mail');
    const [home] = await lookInto(names.queue('mail'));
    expect(parked.properties.headers).toHaveProperty('CC');
    const brokers = /^(x-|CC$)/;
    const ours = (message: PulledMessage | undefined) =>
      Object.fromEntries(
        Object.entries(message?.properties.headers ?? {}).filter(([name]) => !brokers.test(name)),
      );
    expect(ours(home)).toEqual(ours(parked));
    expect(Object.keys(ours(home))).toContain('warren-due-at');
    expect(Object.keys(home?.properties.headers ?? {})).not.toContain('CC');
    const { headers: _, ...rest } = parked.properties;
    expect(home).toMatchObject({ body: parked.body, routingKey: parked.routingKey, properties: rest });
  });
});

it('a worker that restores its queue takes home what fell due meanwhile', async () => {
  const { stop } = await work();
  await remove('mail');
  await park(...numbered('job', 5));
  await until(() => new Set(idsRun()).size === 5, { what: 'five runs' });
  await stop();
  expect(idsRun()).toEqual(numbered('job', 5).map(({ id }) => id));
  expect(await idsIn(names.unroutedQueue)).toEqual([]);
});

it('several workers at once double nothing and lose nothing', async () => {
  await park(...numbered('job', 150), { id: 'other', to: names.queue('report') });
  await Promise.all([work(), work(), work()]);
  await until(() => Mail.runs.length >= 150, { what: '150 runs' });
  await until(async () => (await idsIn(names.unroutedQueue)).length === 1);
  expect(idsRun().sort()).toEqual(
    numbered('job', 150)
      .map(({ id }) => id)
      .sort(),
  );
});

it('a connection that is lost in the middle of it loses nothing', async () => {
  const proxy = await startProxy(amqpUrl());
  endings.push({ [Symbol.asyncDispose]: () => proxy.close() });
  const all = numbered('job', 200).map(({ id }) => id);
  await park(...numbered('job', 200), { id: 'other', to: names.queue('report') });
  let cut = false;
  await work({ url: proxy.url }, (runtime) =>
    runtime.on('attempt.started', () => {
      if (cut || Mail.runs.length < 20) return;
      cut = true;
      proxy.cut();
    }),
  );
  await until(() => new Set(idsRun()).size === 200, { what: 'all of them to run', within: 60_000 });
  expect(cut).toBe(true);
  expect([...new Set(idsRun())].sort()).toEqual(all.sort());
  await until(async () => (await idsIn(names.unroutedQueue)).join() === 'other', { what: 'the other alone' });
});

it('a stop in the middle of it is prompt and clean: each message is in one place', async () => {
  await park(...numbered('job', 300), { id: 'other', to: names.queue('report') });
  // At least 12 s for all of them, so that it is in the middle for long enough.
  const proxy = await startProxy(amqpUrl());
  endings.push({ [Symbol.asyncDispose]: () => proxy.close() });
  proxy.delay(20);
  let began = 0;
  const { stop } = await work(
    { url: proxy.url, queues: { mail: { concurrency: 1, prefetch: 1 } }, grace: '2m' },
    (runtime) =>
      runtime.on('attempt.started', () => {
        began = performance.now();
        void runtime.stop();
      }),
  );
  await until(() => began > 0, { what: 'the first of them to run' });
  expect(await stop()).toBe(0);
  // Not what is left of the grace period.
  expect(performance.now() - began).toBeLessThan(40_000);
  expect(idsRun()).toEqual(['job-0']);
  const all = [...numbered('job', 300).map(({ id }) => id), 'other'].sort();
  const lying = async () => {
    const home = await idsIn(names.queue('mail'));
    const left = await idsIn(names.unroutedQueue);
    const everywhere = [...idsRun(), ...home, ...left].sort();
    return new Set(everywhere).size === all.length ? { left, everywhere } : undefined;
  };
  const { left, everywhere } = await until(lying, { what: 'all of them', every: 200, within: 60_000 });
  expect(left.length).toBeGreaterThan(1);
  expect(everywhere).toEqual(all);
}, 120_000);

it('a user who may not read `unrouted` says so once, and leaves it', async () => {
  const user = await rabbitUser(space.name);
  endings.push({ [Symbol.asyncDispose]: () => user.remove() });
  const all = `^${space.name}\\.`;
  await user.may({ configure: '^$', write: all, read: `${all}mail$` });
  await park({ id: 'job-1' });
  const reasons: string[] = [];
  await work({ url: user.url, declare: 'none' }, (runtime) =>
    runtime.on('reroute.forbidden', ({ reason }) => reasons.push(reason)),
  );
  await until(() => reasons.length > 0, { what: 'the event' });
  expect(reasons).toEqual([expect.stringMatching(/unrouted/)]);
  expect(await idsIn(names.unroutedQueue)).toEqual(['job-1']);
});
