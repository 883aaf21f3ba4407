/** createRuntime as users have it: refuses at once, loads late, and nothing of it shows. */
import { expect, it } from '@jest/globals';
import { pino } from 'pino';
import { ConfigurationError, createClient, createRuntime, Job } from '../../src/index.ts';
import { createTestServer } from '../../src/testing.ts';

class Greet extends Job {
  static override queue = 'mail';
  async perform() {}
}
class Isolated extends Job {
  static override isolation = 'process' as const;
  async perform() {}
}
class Again extends Job {
  static override jobName = 'Greet';
  async perform() {}
}

const quiet = { http: false, signals: false, logger: false } as const;
const inMemory = () => ({ ...quiet, broker: createTestServer().broker(), jobs: [Greet] });

it.each([
  ['two jobs of one name', { jobs: [Greet, Again] }, "called 'Greet'"],
  ['a job for children that nobody can make', { jobs: [Isolated] }, "needs the option 'workers'"],
  ['a password that cannot be read', { jobs: [Greet], url: 'amqp://u:%zz@host' }, 'percent-encoded'],
  ['a class where a list of them is wanted', { jobs: Greet as never }, 'a list of job classes'],
  ['no jobs at all', { jobs: undefined as never }, 'a list of job classes'],
  ['a setting that is none', { jobs: [Greet], grace: 'soon' as never }, 'grace'],
])('refuses %s at once, before it runs', (_what, options, words) => {
  expect(() => createRuntime({ ...quiet, ...options })).toThrow(ConfigurationError);
  expect(() => createRuntime({ ...quiet, ...options })).toThrow(words);
});

it('tells who subscribed before it ran everything, also where it is stopped at once', async () => {
  const runtime = createRuntime(inMemory());
  const heard: string[] = [];
  for (const event of ['runtime.started', 'drain.started', 'drain.finished'] as const)
    runtime.on(event, () => void heard.push(event));
  const unheard = runtime.on('drain.started', () => void heard.push('ended subscription'));
  unheard();
  const running = runtime.run();
  expect(await runtime.stop()).toBe(0);
  expect(await running).toBe(0);
  expect(heard).toEqual(['drain.started', 'drain.finished']);
});

it('is one runtime, whatever is asked of it first', async () => {
  const runtime = createRuntime(inMemory());
  expect(await runtime.metrics()).toContain('warren_concurrency{queue="mail"} 10');
  const started = new Promise((resolve) => runtime.on('consumer.attached', resolve));
  const running = runtime.run();
  expect(await started).toMatchObject({ queue: 'mail' });
  expect(await runtime.metrics()).toContain('warren_consumers_attached{queue="mail"} 1');
  await runtime.stop();
  expect(await running).toBe(0);
});

it('runs once, however often it is asked to', async () => {
  const runtime = createRuntime(inMemory());
  const both = [runtime.run(), runtime.run()];
  await runtime.stop();
  expect(await Promise.all(both)).toEqual([0, 0]);
});

it.each([
  ['what a circle of imports leaves undefined', undefined, /^undefined is neither .*import each other/],
  ['a class that is no job', class Mail {}, /^Mail is neither a class that extends Job nor the name of one$/],
  ['the class Job itself', Job, /^Job is neither/],
])('a client refuses %s', async (_what, job, words) => {
  const client = await createClient({ broker: createTestServer().broker() });
  const refused = expect.objectContaining({
    code: 'WARREN_CONFIGURATION',
    message: expect.stringMatching(words),
  });
  await expect(client.enqueue(job as never, null)).rejects.toEqual(refused);
  await expect(client.enqueueMany(job as never, [null])).rejects.toEqual(refused);
  await client.close();
});

it('lets go of a logger that it was given', async () => {
  const logger = pino({ level: 'silent' });
  const runtime = createRuntime({ ...inMemory(), logger });
  const running = runtime.run();
  await runtime.stop();
  await running;
  expect(logger.listenerCount('level-change')).toBe(0);
});

it.each([
  ['no JSON', 1n, 'invalid'],
  ['too large', 'x'.repeat(100), 'too-large'],
])('a client tells of what it refuses, alone and among many: %s', async (_what, payload, reason) => {
  const client = await createClient({ broker: createTestServer().broker(), maxPayload: 50 });
  const told: string[] = [];
  client.on('publish.failed', (event) => void told.push(event.reason));
  await expect(client.enqueue('Mail', payload)).rejects.toThrow('the payload of Mail');
  await expect(client.enqueueMany('Mail', [1, payload])).rejects.toThrow('the payload of Mail');
  expect(told).toEqual([reason, reason]);
  await client.close();
});

it.each(['', 'x'.repeat(256), 'cut in two \ud83d', 7 as never])('a client refuses the id %p', async (id) => {
  const client = await createClient({ broker: createTestServer().broker() });
  await expect(client.enqueue('Mail', null, { id })).rejects.toMatchObject({
    code: 'WARREN_PAYLOAD_INVALID',
  });
  await client.close();
});

it.each<[string, unknown, RegExp]>([
  ['an option of other systems', { delay: 5000 }, /no option 'delay'; it knows queue, id, in, at/],
  ['an option that is misspelt', { qeue: 'mail' }, /no option 'qeue'/],
])('enqueue and enqueueMany refuse %s', async (_what, options, words) => {
  const client = await createClient({ broker: createTestServer().broker() });
  await expect(client.enqueue('Mail', null, options as never)).rejects.toThrow(words);
  await expect(client.enqueueMany('Mail', [null], options as never)).rejects.toThrow(words);
  await client.close();
});

it('enqueueMany refuses what is no list, and one id for all', async () => {
  const client = await createClient({ broker: createTestServer().broker() });
  await expect(client.enqueueMany('Mail', 'abc' as never)).rejects.toThrow('takes a list of payloads');
  await expect(client.enqueueMany('Mail', [1, 2], { id: 'x' } as never)).rejects.toThrow('an id of its own');
  await client.close();
});
