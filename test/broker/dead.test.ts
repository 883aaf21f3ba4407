/** Dead letters on a real broker: browsing, replaying and discarding loses nothing and changes no order. */
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import {
  type DeadLetter,
  type DeadQueue,
  discardDeadLetters,
  listDeadLetters,
  replayDeadLetters,
  showDeadLetters,
} from '../../src/dead-letters.ts';
import { amqpUrl } from '../support/broker.ts';
import { DIED_AT, deadJob, ENQUEUED_AT, type Post, postOffice } from '../support/letters.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
const spaces: TestNamespace[] = [];
let post: Post;
let place: DeadQueue;

beforeEach(async () => {
  await broker.connect({ timeout: 60_000 });
  const space = testNamespace();
  spaces.push(space);
  post = postOffice(broker, space.name);
  place = { broker, names: post.names, queue: 'mail' };
  await post.declare();
});

afterAll(async () => {
  await broker.close(1_000);
  for (const space of spaces) await space.remove();
});

const idsOf = (letters: readonly DeadLetter[]) => letters.map(({ id }) => id);
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `job-${index}`);

describe('listing', () => {
  it('tells what a letter says', async () => {
    await post.buryJobs('job-7');
    const { letters, total } = await listDeadLetters(place, 100);
    expect(total).toBe(1);
    expect(letters).toEqual([
      {
        id: 'job-7',
        job: 'SendReceipt',
        queue: 'mail',
        reason: 'attempts-exhausted',
        attempt: 12,
        crashes: 0,
        error: { name: 'Error', message: 'no mail for job-7' },
        enqueuedAt: new Date(ENQUEUED_AT).toISOString(),
        deadAt: new Date(DIED_AT).toISOString(),
      },
    ]);
  });

  it('shows the oldest and counts them all', async () => {
    await post.buryJobs(...numbered(12));
    const { letters, total } = await listDeadLetters(place, 5);
    expect(idsOf(letters)).toEqual(numbered(5));
    expect(total).toBe(12);
  });

  it('loses and reorders nothing however often it is done', async () => {
    await post.buryJobs(...numbered(6));
    // More than the 20 returns after which RabbitMQ 4 drops a message by default.
    for (let round = 0; round < 30; round++)
      expect(idsOf((await listDeadLetters(place, 4)).letters)).toEqual(numbered(4));
    expect(await post.ids('mail.dead')).toEqual(numbered(6));
  });

  it('changes no order, however much of the queue is looked at', async () => {
    await post.buryJobs(...numbered(90));
    for (const limit of [40, 3, 90, 1, 50, 7, 100])
      expect(idsOf((await listDeadLetters(place, limit)).letters)).toEqual(numbered(90).slice(0, limit));
    await showDeadLetters(place, { ids: ['job-70'] }, 100);
    await discardDeadLetters(place, { ids: ['job-20', 'job-80'] });
    const left = numbered(90).filter((id) => id !== 'job-20' && id !== 'job-80');
    expect(idsOf((await listDeadLetters(place, 2)).letters)).toEqual(left.slice(0, 2));
    expect(idsOf((await listDeadLetters(place, 100)).letters)).toEqual(left);
  });

  it('has nothing to tell of an empty queue', async () => {
    expect(await listDeadLetters(place, 100)).toEqual({ letters: [], total: 0 });
  });

  it('takes what the broker itself gave up, with its reason', async () => {
    const before = Date.now();
    await broker.publish({
      exchange: post.names.jobs,
      routingKey: post.names.queue('mail'),
      body: Buffer.from('[1]'),
      properties: { messageId: 'refused', type: 'SendReceipt', headers: {} },
    });
    await rejectOne();
    const { letters } = await listDeadLetters(place, 10);
    expect(letters).toMatchObject([
      { id: 'refused', reason: 'rejected', attempt: 1, error: null, enqueuedAt: null },
    ]);
    // By the broker's clock, which may be another machine's.
    const deadAt = Date.parse(letters[0]?.deadAt ?? '');
    expect(deadAt).toBeGreaterThan(before - 10_000);
    expect(deadAt).toBeLessThan(Date.now() + 10_000);
  });

  it('gives a message without id an address', async () => {
    await post.bury({ body: Buffer.from('not JSON'), properties: { headers: {} } });
    const [letter] = (await listDeadLetters(place, 10)).letters;
    expect(letter).toMatchObject({
      id: expect.stringMatching(/^sha256:[0-9a-f]{16}$/),
      job: null,
      reason: 'unknown',
      deadAt: null,
    });
    await discardDeadLetters(place, { ids: [letter?.id ?? ''] });
    expect(await post.contents('mail.dead')).toEqual([]);
  });
});

/** A worker's way out for a message that cannot be published again: the broker's own dead-lettering. */
async function rejectOne(): Promise<void> {
  const before = (await listDeadLetters(place, 1)).total;
  const subscription = broker.subscribe(post.names.queue('mail'), {
    prefetch: 1,
    onDelivery: (delivery) => delivery.reject(),
  });
  await until(async () => (await listDeadLetters(place, 1)).total > before, {
    what: 'a letter by the broker',
  });
  await subscription.close(30_000);
}

describe('showing', () => {
  it('adds payload and headers', async () => {
    await post.buryJobs('job-1', 'job-2');
    const { letters, missing } = await showDeadLetters(place, { ids: ['job-2', 'job-3'] }, 100);
    expect(letters).toMatchObject([
      { id: 'job-2', payload: { to: 'me' }, headers: { 'warren-reason': 'attempts-exhausted' } },
    ]);
    expect(missing).toEqual(['job-3']);
  });

  it.each([
    ['bytes', Buffer.from([0xff, 0x00, 0x7b])],
    ['half of a JSON text', Buffer.from('{"a":')],
    ['nothing', Buffer.alloc(0)],
    ['a byte order mark', Buffer.from('\ufeff{}')],
  ])('gives %s as they are', async (_, body) => {
    await post.bury({ ...deadJob('odd'), body });
    const { letters } = await showDeadLetters(place, { all: true }, 100);
    expect(letters[0]).toMatchObject({ body: body.toString('base64') });
    expect(letters[0]).not.toHaveProperty('payload');
  });

  it('survives headers that nobody should send', async () => {
    const headers = {
      'warren-attempt': 'many',
      'warren-crashes': -4,
      'warren-error': ['no', 'table'],
      'warren-reason': { a: 1 },
      'warren-dead-at': 9e15,
      'warren-enqueued-at': 'yesterday',
      'x-death': 'none',
      bytes: Buffer.from('abc'),
    };
    await post.bury({ properties: { messageId: 'forged', headers } });
    const { letters } = await showDeadLetters(place, { all: true }, 100);
    expect(letters[0]).toMatchObject({
      ...{ id: 'forged', job: null, reason: 'unknown', attempt: 1, crashes: 0, error: null },
      ...{ enqueuedAt: null, deadAt: null, headers: { bytes: 'YWJj' } },
    });
  });
});

describe('replaying', () => {
  it('sends one of many again as a fresh job and leaves the others in their order', async () => {
    await post.buryJobs(...numbered(9));
    const done: string[] = [];
    const handled = await replayDeadLetters(place, { ids: ['job-4'] }, { onDone: ({ id }) => done.push(id) });
    expect(handled).toEqual({ missing: [], failed: [], unseen: 0 });
    expect(done).toEqual(['job-4']);
    expect(await post.ids('mail.dead')).toEqual(numbered(9).filter((id) => id !== 'job-4'));
    const [job] = await post.contents('mail');
    expect(job?.properties).toMatchObject({
      messageId: 'job-4',
      type: 'SendReceipt',
      contentType: 'application/json',
    });
    expect(job?.properties.headers).toMatchObject({
      ...{ 'warren-attempt': 1, 'warren-replays': 1, 'warren-enqueued-at': ENQUEUED_AT },
    });
    for (const gone of ['warren-error', 'warren-reason', 'warren-queue', 'warren-dead-at', 'warren-crashes'])
      expect(job?.properties.headers).not.toHaveProperty(gone);
  });

  it('sends all of them, in their order', async () => {
    await post.buryJobs(...numbered(40));
    await replayDeadLetters(place, { all: true });
    expect(await post.ids('mail')).toEqual(numbered(40));
    expect(await post.contents('mail.dead')).toEqual([]);
  });

  it('goes by the queue a letter lies in, not by what its headers say', async () => {
    const { properties } = deadJob('lost');
    const headers = { ...properties.headers, 'warren-queue': 'elsewhere', CC: ['elsewhere'], 'x-death': [] };
    await post.bury({ properties: { ...properties, headers } });
    await replayDeadLetters(place, { all: true });
    expect(await post.ids('mail')).toEqual(['lost']);
  });

  it('brings back what the broker dead-lettered, as often as it does so', async () => {
    await broker.publish({
      exchange: post.names.jobs,
      routingKey: post.names.queue('mail'),
      body: Buffer.from('[1]'),
      properties: { messageId: 'again', type: 'SendReceipt', headers: {} },
    });
    for (let round = 1; round <= 3; round++) {
      await rejectOne();
      await replayDeadLetters(place, { ids: ['again'] });
      const [job] = await post.contents('mail');
      expect(job?.properties.headers).toMatchObject({ 'warren-attempt': 1, 'warren-replays': round });
      expect(job?.properties.headers).not.toHaveProperty('x-death');
    }
  });

  it('keeps a letter that no queue takes', async () => {
    await post.buryJobs(...numbered(50));
    await broker.admin((channel) => channel.deleteQueue(post.names.queue('mail')));
    await listDeadLetters(place, 45);
    const { failed } = await replayDeadLetters(place, { all: true });
    expect(failed).toMatchObject([{ letter: { id: 'job-0' }, error: { code: 'WARREN_UNROUTABLE' } }]);
    expect(idsOf((await listDeadLetters(place, 100)).letters)).toEqual(numbered(50));
  });

  it('tells which ids are not there', async () => {
    await post.buryJobs('job-1');
    expect(await replayDeadLetters(place, { ids: ['job-1', 'job-2'] })).toEqual({
      missing: ['job-2'],
      failed: [],
      unseen: 0,
    });
    expect(await post.ids('mail')).toEqual(['job-1']);
  });

  it('changes nothing in a dry run', async () => {
    await post.buryJobs(...numbered(3));
    const done: string[] = [];
    const onDone = ({ id }: DeadLetter) => void done.push(id);
    await replayDeadLetters(place, { all: true }, { dryRun: true, onDone });
    await discardDeadLetters(place, { all: true }, { dryRun: true, onDone });
    expect(done).toEqual([...numbered(3), ...numbered(3)]);
    expect(await post.ids('mail.dead')).toEqual(numbered(3));
    expect(await post.contents('mail')).toEqual([]);
  });

  it('meets what dies again meanwhile only once', async () => {
    await post.buryJobs(...numbered(4));
    const subscription = broker.subscribe(post.names.queue('mail'), {
      prefetch: 1,
      onDelivery: (delivery) => delivery.reject(),
    });
    const done: string[] = [];
    await replayDeadLetters(place, { all: true }, { onDone: ({ id }) => done.push(id) });
    expect(done).toHaveLength(4);
    await until(async () => (await post.ids('mail.dead')).length === 4, {
      what: 'all of them to be dead again',
    });
    await subscription.close(30_000);
  });

  it('shares the work with another operator: each letter goes once', async () => {
    await post.buryJobs(...numbered(60));
    const other = createRabbitBroker({ urls: [amqpUrl()] });
    await other.connect({ timeout: 60_000 });
    await Promise.all([
      replayDeadLetters(place, { all: true }),
      replayDeadLetters({ ...place, broker: other }, { all: true }),
    ]);
    await other.close(1_000);
    expect((await post.ids('mail')).sort()).toEqual(numbered(60).sort());
    expect(await post.contents('mail.dead')).toEqual([]);
  });
});

describe('discarding', () => {
  it('removes what is chosen, every letter of one id', async () => {
    await post.buryJobs('job-0', 'job-1', 'job-2', 'job-1');
    await discardDeadLetters(place, { ids: ['job-1'] });
    expect(await post.ids('mail.dead')).toEqual(['job-0', 'job-2']);
  });

  it('removes hundreds in one go, the last one too', async () => {
    await post.buryJobs(...numbered(300));
    await discardDeadLetters(place, { all: true });
    await until(async () => (await post.contents('mail.dead')).length === 0, { what: 'an empty dead queue' });
  });
});
