/** Jobs for later on a real broker: to the second, for queues of any name, and nothing blocks. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Client, createClient, Job, type JobContext, snooze, UnroutableError } from 'warren';
import type { Broker, PulledMessage } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { startRuntime } from '../support/runtime.ts';
import { sorted, standing } from '../support/standing.ts';
import { until } from '../support/until.ts';
import { rabbitUser } from '../support/user.ts';

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let space: TestNamespace;
let names: Names;
let client: Client;

const QUEUES = ['mail', '1', 'eu.mail', 'mail.eu', '0.1.0.1', 'a..b', 'größe', 'gone'];
const plan = (levels = false) =>
  planTopology({ names, queues: QUEUES.map((name) => ({ name })), delays: [], levels });

// One place for all, because 28 queues take seconds to make and to delete: the tests are in order, and leave none behind.
beforeAll(async () => {
  space = testNamespace();
  names = namesFor(space.name);
  await broker.connect({ timeout: 10_000 });
  await applyTopology(broker, plan());
  client = await createClient({ url: amqpUrl(), namespace: space.name });
});
afterAll(async () => {
  await client.close();
  await space.remove();
  await broker.close(1_000);
});

function take(queue: string): Promise<PulledMessage | undefined> {
  return broker.admin(async (channel) => {
    const message = await channel.get(names.queue(queue));
    message?.ack();
    return message;
  });
}

const taken = (queue: string) => until(() => take(queue), { what: `a job in ${queue}`, every: 5 });

const queueNames = async () => (await standing(`${space.name}.`)).queues.map(({ name }) => name);

it('nobody who does not use them has levels', async () => {
  await client.enqueue('Mail', null, { queue: 'mail', in: 0 });
  await client.enqueue('Mail', null, { queue: 'mail', at: new Date(0) });
  for (const _ of [1, 2]) await taken('mail');
  expect((await queueNames()).filter((name) => name.includes('schedule-'))).toEqual([]);
});

describe('a job for later', () => {
  it('makes its client declare the levels, exactly as planned, and comes to the second', async () => {
    const began = performance.now();
    await client.enqueue('Mail', { n: 1 }, { queue: 'mail', in: '3s', id: 'three' });
    const message = await taken('mail');
    const waited = performance.now() - began;
    expect(waited).toBeGreaterThanOrEqual(3000);
    // Whole seconds, counted anew once the levels stand: declaring them can cost one more.
    expect(waited).toBeLessThan(4700);
    expect(message).toMatchObject({
      routingKey: names.queue('mail'),
      properties: { messageId: 'three', type: 'Mail' },
    });
    expect(sorted(await standing(`${space.name}.`))).toEqual(sorted(plan(true)));
  });

  it('takes the levels of its bits and no longer', async () => {
    const began = new Map<string | undefined, number>();
    const enqueued = [1, 2, 4, 5, 7].map(async (seconds) => {
      began.set(`${seconds}`, performance.now());
      await client.enqueue('Mail', null, { queue: 'mail', in: seconds * 1000, id: `${seconds}` });
    });
    await Promise.all(enqueued);
    for (let due = 0; due < 5; due++) {
      const { messageId } = (await taken('mail')).properties;
      const late = performance.now() - (began.get(messageId) ?? 0) - Number(messageId) * 1000;
      expect(late).toBeGreaterThanOrEqual(0);
      // How little it is, is measured where nothing else runs: npm run bench -- any-time
      expect(late).toBeLessThan(1000);
    }
  });

  it('finds its queue, whatever dots and figures are in its name', async () => {
    for (const queue of QUEUES) await client.enqueue('Mail', null, { queue, in: '3s', id: `for ${queue}` });
    for (const queue of QUEUES) expect((await taken(queue)).properties.messageId).toBe(`for ${queue}`);
    for (const queue of [...QUEUES, 'unrouted']) expect(await take(queue)).toBeUndefined();
  });

  it('is parked when its queue is gone, and holds nobody up', async () => {
    await broker.admin((channel) => channel.deleteQueue(names.queue('gone')));
    // More than the 32 that a dead-letter worker has under way.
    await client.enqueueMany('Mail', Array(40).fill(null), { queue: 'gone', in: '3s' });
    const good = await client.enqueueMany('Mail', Array(5).fill(null), { queue: 'mail', in: '3s' });
    const ids = new Set<string | undefined>();
    while (ids.size < 5) ids.add((await taken('mail')).properties.messageId);
    expect(ids).toEqual(new Set(good.map(({ id }) => id)));
    for (let parked = 0; parked < 40; parked++) await taken('unrouted');
    await applyTopology(broker, plan());
    expect(await take('unrouted')).toBeUndefined();
  });

  it('restores a level that was deleted, and the exchange in front of them', async () => {
    await client.enqueue('Mail', null, { queue: 'mail', in: '1s' });
    await broker.admin((channel) => channel.deleteQueue(names.level(1)));
    await client.enqueue('Mail', null, { queue: 'mail', in: '2s' });
    await broker.admin((channel) => channel.deleteExchange(names.later));
    await client.enqueueMany('Mail', Array(100).fill(null), { queue: 'mail', in: '4s' });
    for (let due = 0; due < 102; due++) await taken('mail');
  });

  it('is declared for by many clients at once', async () => {
    const others = await Promise.all(
      Array.from({ length: 4 }, () => createClient({ url: amqpUrl(), namespace: space.name })),
    );
    await Promise.all(
      others.map((other) => other.enqueueMany('Mail', Array(50).fill(null), { queue: 'mail', in: '1s' })),
    );
    for (let due = 0; due < 200; due++) await taken('mail');
    await Promise.all(others.map((other) => other.close()));
  });
});

describe('a client that may not declare', () => {
  it('is told what to do, and works as soon as somebody has done it', async () => {
    const user = await rabbitUser(`${space.name}-sender`);
    try {
      await user.may({ configure: '', write: `^${space.name}\\.`, read: '' });
      await broker.admin((channel) => channel.deleteExchange(names.later));
      const poor = await createClient({ url: user.url, namespace: space.name });
      const refused = poor.enqueue('Mail', null, { queue: 'mail', in: '1s' });
      await expect(refused).rejects.toBeInstanceOf(UnroutableError);
      await expect(refused).rejects.toThrow('warren topology apply --levels');
      await poor.enqueue('Mail', null, { queue: 'mail', id: 'now' });
      await poor.close();
      await applyTopology(broker, plan(true));
      const again = await createClient({ url: user.url, namespace: space.name });
      await again.enqueue('Mail', null, { queue: 'mail', in: '1s', id: 'later' });
      await again.close();
      expect((await taken('mail')).properties.messageId).toBe('now');
      expect((await taken('mail')).properties.messageId).toBe('later');
    } finally {
      await user.remove();
    }
  });
});

let seen: { id: string; attempt: number; at: number }[] = [];

class Sleepy extends Job {
  static override queue = 'mail';
  perform(_: unknown, { id, attempt }: JobContext) {
    seen.push({ id, attempt, at: performance.now() });
    return seen.length === 1 ? snooze('5s') : undefined;
  }
}

describe('a worker', () => {
  it('snoozes on the levels for as long as asked, and spends no attempt', async () => {
    seen = [];
    await using started = await startRuntime([Sleepy]);
    const snoozed = new Promise((resolve) => started.runtime.on('job.snoozed', resolve));
    await started.client.enqueue(Sleepy, null);
    expect(await snoozed).toMatchObject({ waitMs: 5000, delay: expect.stringContaining('.jobs.later') });
    await until(() => seen.length === 2, { what: 'the second run' });
    const [first, second] = seen;
    const waited = (second?.at ?? 0) - (first?.at ?? 0);
    expect([first?.attempt, second?.attempt, first?.id === second?.id]).toEqual([1, 1, true]);
    expect(waited).toBeGreaterThanOrEqual(5000);
    // To declare the levels took a part of the wait; what was left is a whole number of seconds again.
    expect(waited).toBeLessThan(6500);
  });

  it('that may not declare them takes a rung, and gives nothing up', async () => {
    seen = [];
    await using first = await startRuntime([Sleepy]);
    await first.stop();
    await using second = await startRuntime([Sleepy], { namespace: first.namespace, declare: 'verify' });
    const snoozed = new Promise((resolve) => second.runtime.on('job.snoozed', resolve));
    await second.client.enqueue(Sleepy, null);
    expect(await snoozed).toMatchObject({ waitMs: 5000, delay: `${first.namespace}.delayed-30s` });
  });
});
