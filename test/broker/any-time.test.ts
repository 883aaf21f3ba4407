/** Jobs for later on a real broker: to the second, for queues of any name, and nothing blocks. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Client, createClient, Job, type JobContext, snooze, UnroutableError } from 'warren';
import type { Broker, PulledMessage } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { LEVELS } from '../../topology/levels.ts';
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
  await broker.connect({ timeout: 60_000 });
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

/** For how many seconds a job was held by levels, as the broker wrote down. */
function secondsOnLevels({ properties: { headers } }: PulledMessage): number {
  const deaths = (headers['x-death'] ?? []) as { queue: string; count: number }[];
  const levels = Array.from({ length: LEVELS }, (_, level) => names.level(level));
  return deaths.reduce((sum, { queue, count }) => sum + count * 2 ** levels.indexOf(queue), 0);
}

/** Enqueues; resolves with the moments between which it was asked for. */
async function enqueueIn(ms: number, id: string): Promise<{ from: number; to: number; began: number }> {
  const [from, began] = [Date.now(), performance.now()];
  const enqueued = client.enqueue('Mail', { n: 1 }, { queue: 'mail', in: ms, id });
  const asked = { from: from + ms, to: Date.now() + ms, began };
  await enqueued;
  return asked;
}

/**
 * That a job was to come at the second asked for, and was held for just as long. How little later it does come, is measured
 * where nothing else runs: npm run bench -- any-time
 */
function expectToTheSecond(message: PulledMessage, { from, to }: { from: number; to: number }): void {
  const { 'warren-enqueued-at': sentAt, 'warren-due-at': dueAt } = message.properties.headers;
  const due = Number(dueAt ?? sentAt);
  expect(secondsOnLevels(message) * 1000).toBe(due - Number(sentAt));
  expect(due).toBeGreaterThanOrEqual(from);
  // Whole seconds, counted anew once the levels stand; what took longer to declare than it was to wait goes at once.
  expect(dueAt === undefined ? to : due).toBeLessThan(to + 1000);
}

const queueNames = async () => (await standing(`${space.name}.`)).queues.map(({ name }) => name);

it('nobody who does not use them has levels', async () => {
  await client.enqueue('Mail', null, { queue: 'mail', in: 0 });
  await client.enqueue('Mail', null, { queue: 'mail', at: new Date(0) });
  for (const _ of [1, 2]) await taken('mail');
  expect((await queueNames()).filter((name) => name.includes('schedule-'))).toEqual([]);
});

/** Here, where no level stands yet. */
it('the first job for later doubles none of those that are sent beside it', async () => {
  const ids = Array.from({ length: 200 }, (_, nr) => `beside ${nr}`);
  const beside = ids.map((id) => client.enqueue('Mail', null, { queue: 'mail', id }));
  const later = client.enqueue('Mail', null, { queue: 'mail', in: '1h' });
  const more = ids.map((id) => client.enqueue('Mail', null, { queue: 'mail', id: `${id} more` }));
  await Promise.all([...beside, later, ...more]);
  const found: string[] = [];
  await broker.admin(async (channel) => {
    for (
      let one = await channel.get(names.queue('mail'));
      one;
      one = await channel.get(names.queue('mail'))
    ) {
      found.push(String(one.properties.messageId));
      one.ack();
    }
  });
  expect(found.sort()).toEqual([...ids, ...ids.map((id) => `${id} more`)].sort());
});

describe('a job for later', () => {
  it('makes its client declare the levels, exactly as planned, and comes to the second', async () => {
    const asked = await enqueueIn(3000, 'three');
    const message = await taken('mail');
    expect(performance.now() - asked.began).toBeGreaterThanOrEqual(3000);
    expectToTheSecond(message, asked);
    expect(message).toMatchObject({
      routingKey: names.queue('mail'),
      properties: { messageId: 'three', type: 'Mail' },
    });
    expect(sorted(await standing(`${space.name}.`))).toEqual(sorted(plan(true)));
  });

  it('takes the levels of its bits and no longer', async () => {
    const enqueued = [1, 2, 4, 5, 7].map((seconds) => enqueueIn(seconds * 1000, `${seconds}`));
    const asked = new Map(
      (await Promise.all(enqueued)).map((moments, n) => [`${[1, 2, 4, 5, 7][n]}`, moments]),
    );
    for (let due = 5; due > 0; due--) {
      const message = await taken('mail');
      const id = message.properties.messageId ?? '';
      const moments = asked.get(id);
      if (!moments) throw new Error(`a job nobody sent, or a second time: ${id}`);
      asked.delete(id);
      expect(performance.now() - moments.began).toBeGreaterThanOrEqual(Number(id) * 1000);
      expectToTheSecond(message, moments);
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
    await broker.admin((channel) => channel.deleteExchange(names.later));
    await broker.admin((channel) => channel.deleteQueue(names.level(0)));
    const others = await Promise.all(
      Array.from({ length: 4 }, () => createClient({ url: amqpUrl(), namespace: space.name })),
    );
    await Promise.all(
      others.map((other) => other.enqueueMany('Mail', Array(50).fill(null), { queue: 'mail', in: '1s' })),
    );
    for (let due = 0; due < 200; due++) await taken('mail');
    await Promise.all(others.map((other) => other.close()));
    expect(sorted(await standing(`${space.name}.`))).toEqual(sorted(plan(true)));
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

/** Snoozes once, for as long as its payload says. */
class Sleepy extends Job<string> {
  static override queue = 'mail';
  perform(wait: string, { id, attempt }: JobContext) {
    const again = seen.some((run) => run.id === id);
    seen.push({ id, attempt, at: Date.now() });
    return again ? undefined : snooze(wait);
  }
}

describe('a worker', () => {
  it('snoozes on the levels for as long as asked, and spends no attempt', async () => {
    seen = [];
    await using started = await startRuntime([Sleepy]);
    const { runtime, client: sender } = started;
    const snoozed = new Promise((resolve) => runtime.on('job.snoozed', resolve));
    // A wait so long that to declare the levels, which takes seconds, takes only a part of it.
    await sender.enqueue(Sleepy, '1h');
    expect(await snoozed).toMatchObject({ waitMs: 3_600_000, delay: expect.stringContaining('.jobs.later') });
    const due = new Map<string, number>();
    runtime.on('attempt.started', ({ id: of, waitMs }) => void due.set(of, Date.now() - waitMs));
    const { id } = await sender.enqueue(Sleepy, '5s');
    const runs = () => seen.filter((run) => run.id === id);
    await until(() => runs().length === 2, { what: 'the second run' });
    const [first, second] = runs();
    expect([first?.attempt, second?.attempt]).toEqual([1, 1]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(5000);
    // It says when it was to come, which a busy machine does not change: a whole number of seconds after it was sent.
    expect((due.get(id) ?? 0) - (first?.at ?? 0)).toBeLessThan(6500);
  });

  it('that may not declare them takes a rung, and gives nothing up', async () => {
    seen = [];
    await using first = await startRuntime([Sleepy]);
    await first.stop();
    await using second = await startRuntime([Sleepy], { namespace: first.namespace, declare: 'verify' });
    const snoozed = new Promise((resolve) => second.runtime.on('job.snoozed', resolve));
    await second.client.enqueue(Sleepy, '5s');
    expect(await snoozed).toMatchObject({ waitMs: 5000, delay: `${first.namespace}.delayed-30s` });
  });
});
