/** Jobs for later on the memory broker, in virtual time: client, job and settler, each on the levels. */
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { type Client, createClient } from '../../src/client.ts';
import { ConfigurationError, UnroutableError } from '../../src/core/errors.ts';
import { snooze } from '../../src/core/outcome.ts';
import { Job, type JobClass, type JobContext } from '../../src/job.ts';
import type { RuntimeOptions } from '../../src/options.ts';
import { createRuntime } from '../../src/runtime.ts';
import { createTestServer, ManualClock, type MemoryServer, performOnce } from '../../src/testing.ts';
import { namesFor } from '../../topology/names.ts';
import { planLevels } from '../../topology/plan.ts';
import { until } from '../support/until.ts';

class Mail extends Job {
  static override queue = 'mail';
  static seen: string[] = [];
  perform(_: unknown, { id }: JobContext) {
    Mail.seen.push(id);
  }
}

class Sleepy extends Job<{ wait: string }> {
  static override queue = 'mail';
  static times = 0;
  perform({ wait }: { wait: string }) {
    Sleepy.times += 1;
    return Sleepy.times % 2 === 1 ? snooze(wait) : undefined;
  }
}

class Later extends Job {
  static override queue = 'mail';
  async perform(_: unknown, { enqueue }: JobContext) {
    await enqueue(Mail, null, { in: '10s', id: 'from-a-job' });
  }
}

/** Waits that no rung has. */
class Odd extends Job {
  static override queue = 'mail';
  static override retry = { attempts: 3, delays: ['1h'], backoff: () => '90s' };
  static attempts: number[] = [];
  perform(_: unknown, { attempt }: JobContext) {
    Odd.attempts.push(attempt);
    if (attempt === 1) throw new Error('once');
  }
}

const endings: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  jest.restoreAllMocks();
  Mail.seen = [];
  Sleepy.times = 0;
  Odd.attempts = [];
});

interface World {
  server: MemoryServer;
  clock: ManualClock;
  client: Client;
}

/** The broker's clock is everybody's: whatever a wait is counted from does not move while the levels are declared. */
async function world(jobs: JobClass[], work?: Partial<RuntimeOptions>): Promise<World> {
  const clock = new ManualClock(Date.now());
  jest.spyOn(Date, 'now').mockImplementation(() => clock.now());
  const server = createTestServer({ jobs, clock });
  const client = await createClient({ broker: server.broker() });
  endings.push(() => client.close());
  if (work) {
    const quiet = { http: false, signals: false, logger: false } as const;
    const runtime = createRuntime({ broker: server.broker(), jobs, ...quiet, ...work });
    const ended = runtime.run();
    endings.push(async () => {
      await runtime.stop();
      await ended;
    });
  }
  return { server, clock, client };
}

const ready = (server: MemoryServer, queue = 'mail') =>
  server.contents(queue).map(({ properties }) => properties.messageId);

/** Which level holds how many. */
function waiting(server: MemoryServer): Record<string, number> {
  const levels = server.queues.filter((name) => name.startsWith('schedule-'));
  const counts = levels.map((name) => [name, server.contents(name).length] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

describe('a client', () => {
  it("declares the levels with its first job for later, and the broker keeps it until then: 'in'", async () => {
    const { server, clock, client } = await world([Mail]);
    expect(server.queues.filter((name) => name.startsWith('schedule-'))).toEqual([]);
    await client.enqueue(Mail, null, { in: '37s', id: 'one' });
    expect(waiting(server)).toEqual({ 'schedule-05': 1 });
    await clock.advance(36_999);
    expect(ready(server)).toEqual([]);
    await clock.advance(1);
    expect(ready(server)).toEqual(['one']);
  });

  it("waits for a moment: 'at', to the second and never before it", async () => {
    const { server, clock, client } = await world([Mail]);
    await client.enqueue(Mail, null, { at: new Date(Date.now() + 90_200), id: 'one' });
    await clock.advance(90_199);
    expect(ready(server)).toEqual([]);
    await clock.advance(801);
    expect(ready(server)).toEqual(['one']);
  });

  it('sends what is due now, or was, straight on, and needs no levels for it', async () => {
    const { server, client } = await world([Mail]);
    await client.enqueue(Mail, null, { at: new Date(0), id: 'past' });
    await client.enqueue(Mail, null, { in: 0, id: 'now' });
    expect(ready(server)).toEqual(['past', 'now']);
    expect(server.queues.filter((name) => name.startsWith('schedule-'))).toEqual([]);
  });

  it('sends many for later, each on the levels, and declares them once', async () => {
    const { server, clock, client } = await world([Mail]);
    const kept = await client.enqueueMany(Mail, Array(50).fill(null), { in: '8s' });
    expect(kept).toHaveLength(50);
    expect(waiting(server)).toEqual({ 'schedule-03': 50 });
    await clock.advance(8000);
    expect(new Set(ready(server))).toEqual(new Set(kept.map(({ id }) => id)));
  });

  it('says when a job is due, in its event and on the wire, with the whole seconds it waits', async () => {
    const { server, client } = await world([Mail]);
    const told = new Promise<{ dueAt?: number | undefined }>((resolve) => client.on('job.enqueued', resolve));
    const before = Date.now();
    await client.enqueue(Mail, null, { in: 1500 });
    const { dueAt = 0 } = await told;
    expect(dueAt - before).toBe(1500);
    const [message] = server.contents('schedule-01');
    expect(Number(message?.properties.headers['warren-due-at']) - before).toBe(2000);
    expect(message?.routingKey).toBe('mail');
    expect(message?.properties.headers.CC).toEqual(['@01', '@0.0.0.0.0.0.1.0']);
  });

  it('refuses both, and what is beyond the last level, before anything is sent', async () => {
    const { server, client } = await world([Mail]);
    const both = { in: '1s', at: new Date() };
    await expect(client.enqueue(Mail, null, both)).rejects.toBeInstanceOf(ConfigurationError);
    await expect(client.enqueueMany(Mail, [null], both)).rejects.toBeInstanceOf(ConfigurationError);
    await expect(client.enqueue(Mail, null, { in: '9 y' })).rejects.toThrow('is no duration');
    await expect(client.enqueue(Mail, null, { in: '3107d' })).rejects.toThrow('at most 3106d21h24m15s');
    expect(server.queues.filter((name) => name.startsWith('schedule-'))).toEqual([]);
  });

  it('restores a level that was deleted', async () => {
    const { server, clock, client } = await world([Mail]);
    await client.enqueue(Mail, null, { in: '4s' });
    const broker = server.broker();
    await broker.connect({ timeout: 30_000 });
    await broker.admin((channel) => channel.deleteQueue('schedule-02'));
    await broker.close(0);
    await client.enqueue(Mail, null, { in: '4s', id: 'again' });
    await clock.advance(4000);
    expect(ready(server)).toEqual(['again']);
  });
});

describe('a worker', () => {
  it('enqueues for later out of a job', async () => {
    const { server, clock, client } = await world([Mail, Later], {});
    await client.enqueue(Later, null);
    await until(() => waiting(server)['schedule-03'] === 1, { what: 'the job to wait' });
    await clock.advance(10_000);
    await until(() => Mail.seen.includes('from-a-job'), { what: 'the job to run' });
  });

  it('snoozes for exactly as long as asked, where no rung is as long', async () => {
    const { server, clock, client } = await world([Sleepy], {});
    await client.enqueue(Sleepy, { wait: '1m' });
    await until(() => waiting(server)['schedule-05'] === 1, { what: 'the job to wait' });
    await clock.advance(59_000);
    expect(Sleepy.times).toBe(1);
    await clock.advance(1_000);
    await until(() => Sleepy.times === 2, { what: 'the second run' });
  });

  it('snoozes on a rung that is as long', async () => {
    const { server, client } = await world([Sleepy], {});
    await client.enqueue(Sleepy, { wait: '5m' });
    await until(() => server.contents('delayed-5m').length === 1, { what: 'the job to wait' });
    expect(server.queues.filter((name) => name.startsWith('schedule-'))).toEqual([]);
  });

  it('snoozes longer than the longest rung in one go', async () => {
    const { server, clock, client } = await world([Sleepy], {});
    await client.enqueue(Sleepy, { wait: '30d' });
    await until(() => Object.keys(waiting(server)).length === 1, { what: 'the job to wait' });
    await clock.advance(30 * 86_400_000 - 1);
    expect(Sleepy.times).toBe(1);
    await clock.advance(1);
    await until(() => Sleepy.times === 2, { what: 'the second run' });
  });

  it('retries after what a function computes, though no rung has it', async () => {
    const { server, clock, client } = await world([Odd], {});
    await client.enqueue(Odd, null);
    await until(() => waiting(server)['schedule-06'] === 1, { what: 'the job to wait' });
    await clock.advance(90_000);
    await until(() => Odd.attempts.length === 2, { what: 'the second attempt' });
    expect(Odd.attempts).toEqual([1, 2]);
  });

  it('that may not declare takes the shortest rung that is not shorter, as long as there are no levels', async () => {
    const { server, client } = await world([Sleepy], { declare: 'none' });
    await client.enqueue(Sleepy, { wait: '1m' });
    await until(() => server.contents('delayed-5m').length === 1, { what: 'the job on its rung' });
  });
});

describe('without levels and without the right to declare them', () => {
  class Tries extends Job {
    static override queue = 'mail';
    static told: unknown;
    async perform(_: unknown, { enqueue }: JobContext) {
      Tries.told = await enqueue(Mail, null, { in: '10s' }).catch((error) => error);
    }
  }

  it('a job learns why, and once somebody has declared them it works', async () => {
    const { server, client } = await world([Mail, Tries], { declare: 'none' });
    await client.enqueue(Tries, null);
    const error = await until(() => Tries.told as Error, { what: 'the answer' });
    expect(error).toBeInstanceOf(UnroutableError);
    expect(error.message).toContain('warren topology apply --levels');
    server.declare(planLevels(namesFor()));
    await client.enqueue(Mail, null, { in: '10s' });
    expect(waiting(server)).toEqual({ 'schedule-03': 1 });
  });
});

it('performOnce tells what a job enqueued for later', async () => {
  const { enqueued } = await performOnce(Later, null);
  expect(enqueued).toMatchObject([{ job: 'Mail', queue: 'mail', id: 'from-a-job', options: { in: '10s' } }]);
});
