import { afterEach, describe, expect, it } from '@jest/globals';
import { AdminError, type Broker } from '../../src/broker/broker.ts';
import { createMemoryBroker, type MemoryBroker } from '../../src/broker/memory.ts';
import { inspectBroker } from '../../src/inspect.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';

const names = namesFor('acme');
const wishes = { names, queues: ['mail', 'report'], delays: [30_000, 3000, 3000] };

const opened: MemoryBroker[] = [];
afterEach(async () => {
  for (const broker of opened.splice(0)) await broker.close(0);
});

async function brokerWith(queues: readonly string[]): Promise<MemoryBroker> {
  const broker = createMemoryBroker();
  opened.push(broker);
  await broker.connect({ timeout: 30_000 });
  const delays = wishes.delays;
  await applyTopology(broker, planTopology({ names, queues: queues.map((name) => ({ name })), delays }));
  return broker;
}

async function publish(broker: Broker, exchange: string, queue: string): Promise<void> {
  await broker.publish({
    exchange,
    routingKey: names.queue(queue),
    body: Buffer.from('{}'),
    properties: { messageId: 'x', headers: {} },
  });
}

async function consume(broker: Broker, queue: string): Promise<void> {
  await new Promise<void>((resolve) => {
    broker.subscribe(queue, {
      prefetch: 1,
      onDelivery: () => {},
      onState: ({ state }) => state === 'attached' && resolve(),
    });
  });
}

describe('inspectBroker', () => {
  it('counts what is ready, dead, delayed and unrouted, and who consumes', async () => {
    const broker = await brokerWith(['mail', 'report']);
    for (let count = 0; count < 3; count++) await publish(broker, names.jobs, 'report');
    await publish(broker, names.dead, 'mail');
    await publish(broker, names.delay(3000), 'mail');
    await publish(broker, names.unrouted, 'gone');
    await consume(broker, names.queue('mail'));
    expect(await inspectBroker(broker, wishes)).toEqual({
      queues: { mail: { ready: 0, dead: 1, consumers: 1 }, report: { ready: 3, dead: 0, consumers: 0 } },
      delayed: { '3s': 1, '30s': 0 },
      unrouted: 1,
      notes: [],
    });
  });

  it('counts queues that others consume, and makes no fuss of those that are not there', async () => {
    const broker = await brokerWith(['mail', 'report']);
    await publish(broker, names.jobs, 'report');
    const others = ['report', 'elsewhere'];
    expect(await inspectBroker(broker, { ...wishes, queues: ['mail'], others })).toMatchObject({
      queues: { mail: { ready: 0, consumers: 0 }, report: { ready: 1, dead: 0, consumers: 0 } },
      notes: [],
    });
  });

  it('goes on behind a queue that is missing, and says so', async () => {
    const broker = await brokerWith(['mail']);
    await publish(broker, names.jobs, 'mail');
    await broker.admin((channel) => channel.deleteQueue(names.deadQueue('mail')));
    expect(await inspectBroker(broker, wishes)).toEqual({
      queues: {
        mail: { ready: 1, dead: null, consumers: 0 },
        report: { ready: null, dead: null, consumers: null },
      },
      delayed: { '3s': 0, '30s': 0 },
      unrouted: 0,
      notes: ['acme.mail.dead', 'acme.report', 'acme.report.dead'].map(
        (queue) => `queue '${queue}' does not exist`,
      ),
    });
  });

  it('says which queue it may not look at', async () => {
    const checkQueue = async () => {
      throw new AdminError('forbidden', 'ACCESS_REFUSED');
    };
    const broker = { admin: (use: (channel: never) => unknown) => use({ checkQueue } as never) };
    const { notes, unrouted } = await inspectBroker(broker as never, { names, queues: [], delays: [] });
    expect([notes, unrouted]).toEqual([["queue 'acme.unrouted' may not be looked at by this user"], null]);
  });

  it('rejects when the broker cannot be asked', async () => {
    const broker = {
      admin: async () => {
        throw new AdminError('unavailable', 'gone');
      },
    };
    await expect(inspectBroker(broker, wishes)).rejects.toThrow('gone');
  });
});
