/** A job's way through the delay queues of a real broker, with the delays of the default ladder. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import {
  type Client,
  createClient,
  createRuntime,
  type Events,
  Job,
  type JobContext,
  type Runtime,
} from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

interface Run {
  id: string;
  attempt: number;
  at: number;
  lastError: string | undefined;
}

const runs: Run[] = [];

interface Due {
  id: string | undefined;
  /** Where it waited, and how that ended. */
  queue: string | undefined;
  reason: string | undefined;
}

const due: Due[] = [];

/** A busy machine may stand still for some seconds. What waits in the wrong queue is later than that. */
const LATE_MS = 15_000;

function note({ id, attempt, lastError }: JobContext): void {
  runs.push({ id, attempt, at: Date.now(), lastError: lastError?.message });
}

class FailsTwice extends Job {
  static override queue = 'ladder';
  perform(_: unknown, context: JobContext) {
    note(context);
    if (context.attempt < 3) throw new Error(`failure ${context.attempt}`);
  }
}

class WaitsLong extends Job {
  static override queue = 'ladder';
  static override retry = { attempts: 2, backoff: ['1m'] };
  perform() {
    throw new Error('not now');
  }
}

class WaitsShort extends Job {
  static override queue = 'ladder';
  static override retry = { attempts: 3, backoff: ['500ms'] };
  perform(_: unknown, context: JobContext) {
    note(context);
    if (context.attempt < 3) throw new Error('soon');
  }
}

const space = testNamespace();
const namespace = space.name;
let model: ChannelModel;
let runtime: Runtime;
let client: Client;
let ended: Promise<number>;

beforeAll(async () => {
  const url = amqpUrl();
  model = await connect(url);
  runtime = createRuntime({
    url,
    namespace,
    jobs: [FailsTwice, WaitsLong, WaitsShort],
    http: false,
    signals: false,
    logger: false,
  });
  const started = new Promise<Events['runtime.started']>((resolve) => runtime.on('runtime.started', resolve));
  ended = runtime.run();
  await started;
  await listenToDue();
  client = await createClient({ url, namespace });
});

afterAll(async () => {
  await client.close();
  await runtime.stop();
  expect(await ended).toBe(0);
  await model.close();
  await space.remove();
});

async function messagesIn(queue: string): Promise<number> {
  const channel = await model.createChannel();
  const { messageCount } = await channel.checkQueue(`${namespace}.${queue}`);
  await channel.close();
  return messageCount;
}

const runsOf = (id: string) => runs.filter((run) => run.id === id);
const dueOf = (id: string) => due.filter((one) => one.id === id);

/** Hears of all that falls due for the work queue, beside it. */
async function listenToDue(): Promise<void> {
  const channel = await model.createChannel();
  const tap = `${namespace}.tap`;
  await channel.assertQueue(tap, { durable: true });
  await channel.bindQueue(tap, `${namespace}.jobs.due`, `${namespace}.ladder`);
  const hear = (message: ConsumeMessage | null) => {
    const [{ queue, reason } = {}] = (message?.properties.headers?.['x-death'] ?? []) as Partial<Due>[];
    due.push({ id: message?.properties.messageId, queue, reason });
  };
  await channel.consume(tap, hear, { noAck: true });
}

describe('the default ladder', () => {
  it('fails, waits in delayed-3s, fails, waits in delayed-30s, and succeeds at attempt 3', async () => {
    const { id } = await client.enqueue(FailsTwice, {});
    await until(async () => (await messagesIn('delayed-30s')) === 1, { what: 'the job in delayed-30s' });
    await until(() => runsOf(id).length === 3, { within: 50_000, what: 'the third attempt' });
    // In the broker's own words.
    const waits = await until(() => (dueOf(id).length === 2 ? dueOf(id) : undefined), {
      what: 'what it waited in',
    });
    expect(waits).toEqual([
      { id, queue: `${namespace}.delayed-3s`, reason: 'expired' },
      { id, queue: `${namespace}.delayed-30s`, reason: 'expired' },
    ]);
    const [first, second, third] = runsOf(id) as [Run, Run, Run];
    expect([first, second, third].map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(second.lastError).toBe('failure 1');
    expect(third.lastError).toBe('failure 2');
    expect(second.at - first.at).toBeGreaterThanOrEqual(3_000);
    expect(second.at - first.at).toBeLessThan(3_000 + LATE_MS);
    expect(third.at - second.at).toBeGreaterThanOrEqual(30_000);
    expect(third.at - second.at).toBeLessThan(30_000 + LATE_MS);
  });

  it('is not held up by a wait of one minute in another delay queue', async () => {
    await client.enqueue(WaitsLong, {});
    await until(async () => (await messagesIn('delayed-1m')) === 1, { what: 'the job in delayed-1m' });
    const { id } = await client.enqueue(WaitsShort, {});
    await until(() => runsOf(id).length === 3, { what: 'the short waits to be over' });
    const [first, second, third] = runsOf(id) as [Run, Run, Run];
    for (const wait of [second.at - first.at, third.at - second.at]) {
      expect(wait).toBeGreaterThanOrEqual(500);
      expect(wait).toBeLessThan(500 + LATE_MS);
    }
    const waits = await until(() => (dueOf(id).length === 2 ? dueOf(id) : undefined), {
      what: 'what it waited in',
    });
    expect(waits).toEqual(Array(2).fill({ id, queue: `${namespace}.delayed-500ms`, reason: 'expired' }));
    // The long one is still at it. (A queue that is slow to answer counts as empty.)
    await until(async () => (await messagesIn('delayed-1m')) === 1, {
      within: 5_000,
      what: 'the other in delayed-1m',
    });
  });
});
