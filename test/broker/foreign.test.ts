/** A program that knows nothing of warren: exchange, routing key, type, a JSON body. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib';
import { Job, type JobContext } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { startRuntime, type TestRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

interface Seen {
  payload: unknown;
  id: string;
  attempt: number;
  enqueuedAt: Date;
}

const seen: Seen[] = [];

class Greet extends Job {
  static override queue = 'greet';
  static override retry = { attempts: 2, backoff: ['200ms'] };
  perform(payload: unknown, { id, attempt, enqueuedAt }: JobContext) {
    seen.push({ payload, id, attempt, enqueuedAt });
    if (payload === 'fail' && attempt === 1) throw new Error('once');
  }
}

let started: TestRuntime;
let model: ChannelModel;
let channel: ConfirmChannel;

beforeAll(async () => {
  started = await startRuntime([Greet]);
  model = await connect(amqpUrl());
  channel = await model.createConfirmChannel();
});
afterAll(async () => {
  await model.close();
  await started[Symbol.asyncDispose]();
});

async function publish(payload: unknown, options: Options.Publish = {}): Promise<Seen> {
  const [key, before] = [`${started.namespace}.greet`, seen.length];
  channel.publish(`${started.namespace}.jobs`, key, Buffer.from(JSON.stringify(payload)), {
    type: 'Greet',
    ...options,
  });
  await channel.waitForConfirms();
  await until(() => seen.length > before, { what: 'the job to run' });
  return seen[before] as Seen;
}

it('runs with nothing but a type and a JSON body', async () => {
  const run = await publish({ name: 'Ada' });
  expect(run).toMatchObject({ payload: { name: 'Ada' }, attempt: 1 });
  expect(run.id).toMatch(/^[0-9a-f-]{36}$/);
});

it('keeps the id it was given', async () => {
  expect(await publish(1, { messageId: 'order-17' })).toMatchObject({ id: 'order-17' });
});

it('keeps the id it got here when it is retried', async () => {
  const { id } = await publish('fail');
  await until(() => seen.at(-1)?.attempt === 2, { what: 'the second attempt' });
  expect(seen.at(-1)).toMatchObject({ id, payload: 'fail' });
});

it.each([
  ['an attempt that is text', { 'warren-attempt': 'seven' }, 1],
  ['an attempt below one', { 'warren-attempt': -3 }, 1],
  ['an attempt beyond all bounds', { 'warren-attempt': 2_000_000_000 }, 1000],
  ['an attempt in the prototype', Object.fromEntries([['__proto__', { 'warren-attempt': 9 }]]), 1],
  ['a moment in the far future to be run at', { 'warren-not-before': 'tomorrow' }, 1],
  ['a moment of enqueueing before time began', { 'warren-enqueued-at': -5 }, 1],
  [
    'nonsense of every kind',
    { 'warren-crashes': {}, 'warren-error': [1], 'warren-replays': true, 'warren-queue': 7 },
    1,
  ],
])('runs in spite of %s', async (_what, headers, attempt) => {
  expect(await publish('hello', { headers })).toMatchObject({ payload: 'hello', attempt });
});
