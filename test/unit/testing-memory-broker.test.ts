/** What the memory broker does beyond the contract: virtual time, RabbitMQ's traps, faults on demand. */
import { describe, expect, it } from '@jest/globals';
import type { Delivery, MessageProperties, Publication } from '../../src/broker/broker.ts';
import {
  createMemoryBroker,
  createMemoryServer,
  ManualClock,
  type MemoryServer,
} from '../../src/broker/memory.ts';
import { DeadlineError, RefusedError } from '../../src/core/errors.ts';
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';

const names = namesFor();
const QUORUM = { 'x-queue-type': 'quorum' } as const;

interface Stage {
  clock: ManualClock;
  server: MemoryServer;
}

/** Work queue, dead queue and these delays, in time that stands still. */
function stage(delays: number[] = [], queues = ['mail']): Stage {
  const clock = new ManualClock();
  const server = createMemoryServer({ clock });
  server.declare(planTopology({ names, queues: queues.map((name) => ({ name })), delays }));
  return { clock, server };
}

async function connected({ clock, server }: Stage) {
  const broker = server.broker();
  const connecting = broker.connect({ timeout: 1000 });
  await clock.advance(0);
  await connecting;
  return broker;
}

function message(
  id: string,
  exchange = names.jobs,
  queue = 'mail',
  headers: MessageProperties['headers'] = {},
): Publication {
  return { exchange, routingKey: queue, body: Buffer.from(id), properties: { messageId: id, headers } };
}

function shown(server: MemoryServer, queue: string): string[] {
  return server.contents(queue).map(({ state, body }) => `${state} ${body}`);
}

describe('virtual time', () => {
  it('moves a day in a moment, and fires nothing early', async () => {
    const { clock, server } = stage([86_400_000]);
    const broker = await connected({ clock, server });
    await broker.publish(message('one', names.delay(86_400_000)));
    await clock.advance(86_399_999);
    expect(shown(server, 'mail')).toEqual([]);
    await clock.advance(1);
    expect(shown(server, 'mail')).toEqual(['ready one']);
    expect(shown(server, 'delayed-1d')).toEqual([]);
  });

  it('fires timers in the order of their moments, and those of one moment in the order they were set', async () => {
    const clock = new ManualClock(0);
    const fired: string[] = [];
    const at = (ms: number, name: string) => clock.setTimeout(() => fired.push(`${name}@${clock.now()}`), ms);
    at(30, 'c');
    at(10, 'a');
    at(10, 'b');
    clock.clearTimeout(at(20, 'never'));
    clock.setTimeout(() => at(5, 'late'), 12);
    await clock.advance(30);
    expect(fired).toEqual(['a@10', 'b@10', 'late@17', 'c@30']);
    expect(clock.now()).toBe(30);
  });

  it('holds for deadlines too', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    broker.disconnect();
    const outcome = broker.publish(message('one'), { deadline: 3_600_000 }).catch((error: unknown) => error);
    await clock.advance(3_600_000);
    expect(await outcome).toBeInstanceOf(DeadlineError);
  });
});

describe('queues', () => {
  it('expire at the head only: what came back keeps the moment it had', async () => {
    const clock = new ManualClock();
    const server = createMemoryServer({ clock });
    const broker = await connected({ clock, server });
    server.declare({
      exchanges: [],
      queues: [{ name: 'short', arguments: { ...QUORUM, 'x-message-ttl': 100 } }],
      bindings: [],
    });
    await broker.publish(message('1', '', 'short'));
    await clock.advance(60);
    await broker.publish(message('2', '', 'short'));
    const held: Delivery[] = [];
    const subscription = broker.subscribe('short', {
      prefetch: 1,
      onDelivery: (delivery) => void held.push(delivery),
    });
    await clock.advance(10);
    await subscription.cancel(0);
    // 1 is held and ages; 2 waits at the head and goes when its own time is up.
    await clock.advance(89);
    expect(shown(server, 'short')).toEqual(['ready 2', 'unacked 1']);
    await clock.advance(1);
    expect(shown(server, 'short')).toEqual(['unacked 1']);
    held[0]?.release();
    await clock.advance(0);
    expect(shown(server, 'short')).toEqual([]);
  });

  it('give up after the delivery limit, by default 20, into their dead-letter exchange or into nothing', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    server.declare({
      exchanges: [],
      queues: [
        { name: 'plain', arguments: { ...QUORUM } },
        {
          name: 'buried',
          arguments: {
            ...QUORUM,
            'x-delivery-limit': 2,
            'x-dead-letter-exchange': names.dead,
            'x-dead-letter-routing-key': 'mail',
          },
        },
      ],
      bindings: [],
    });
    const tries = async (queue: string) => {
      let count = 0;
      const subscription = broker.subscribe(queue, {
        prefetch: 1,
        onDelivery: (delivery) => {
          count++;
          delivery.release();
        },
      });
      await broker.publish(message('one', '', queue));
      for (let turn = 0; turn < 60; turn++) await clock.advance(0);
      await subscription.close(0);
      return count;
    };
    expect([await tries('plain'), await tries('buried')]).toEqual([21, 3]);
    expect(shown(server, 'plain')).toEqual([]);
    const [dead] = server.contents('mail.dead');
    expect(dead?.properties.headers).toMatchObject({
      'x-first-death-reason': 'delivery_limit',
      'x-last-death-queue': 'buried',
    });
  });

  it('32 dead letters without a way hold up all behind them for three minutes', async () => {
    const clock = new ManualClock();
    const server = createMemoryServer({ clock });
    const broker = await connected({ clock, server });
    const delay = {
      ...QUORUM,
      'x-message-ttl': 10,
      'x-dead-letter-exchange': 'due',
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    };
    server.declare({
      exchanges: [
        { name: 'due', type: 'direct', arguments: {} },
        { name: 'wait', type: 'fanout', arguments: {} },
      ],
      queues: [
        { name: 'wait', arguments: delay },
        { name: 'mail', arguments: QUORUM },
      ],
      bindings: [
        { exchange: 'wait', queue: 'wait', routingKey: '' },
        { exchange: 'due', queue: 'mail', routingKey: 'mail' },
      ],
    });
    for (let index = 0; index < 32; index++) await broker.publish(message(`${index}`, 'wait', 'nowhere'));
    await broker.publish(message('mine', 'wait', 'mail'));
    await clock.advance(179_000);
    expect(shown(server, 'mail')).toEqual([]);
    expect(server.contents('wait')).toHaveLength(33);
    expect((await counts(broker, 'wait')).ready).toBe(0);
    server.declare({
      exchanges: [],
      queues: [],
      bindings: [{ exchange: 'due', queue: 'mail', routingKey: 'nowhere' }],
    });
    await clock.advance(2000);
    expect(server.contents('mail')).toHaveLength(33);
  });

  it('drop a message that goes round by expiry alone, also where its publisher made the past up', async () => {
    const clock = new ManualClock();
    const server = createMemoryServer({ clock });
    const broker = await connected({ clock, server });
    const loop = (name: string, next: string) => ({
      name,
      arguments: {
        ...QUORUM,
        'x-message-ttl': 10,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': next,
      },
    });
    server.declare({
      exchanges: [],
      queues: [loop('a', 'b'), loop('b', 'a'), loop('c', 'mail'), { name: 'mail', arguments: QUORUM }],
      bindings: [],
    });
    await broker.publish(message('round', '', 'a'));
    await broker.publish(
      message('forged', '', 'c', { 'x-death': [{ queue: 'mail', reason: 'expired', count: 1 }] }),
    );
    await clock.advance(1000);
    expect([shown(server, 'a'), shown(server, 'b'), shown(server, 'mail')]).toEqual([[], [], []]);
  });

  it('of the classic kind put back in its place what is released', async () => {
    const clock = new ManualClock();
    const server = createMemoryServer({ clock });
    const broker = await connected({ clock, server });
    server.declare({
      exchanges: [],
      queues: [{ name: 'old', arguments: { 'x-queue-type': 'classic' } }],
      bindings: [],
    });
    for (const id of ['1', '2', '3', '4']) await broker.publish(message(id, '', 'old'));
    const held: Delivery[] = [];
    const subscription = broker.subscribe('old', {
      prefetch: 3,
      onDelivery: (delivery) => void held.push(delivery),
    });
    await clock.advance(0);
    await subscription.cancel(0);
    for (const index of [2, 0, 1]) held[index]?.release();
    expect(shown(server, 'old')).toEqual(['ready 1', 'ready 2', 'ready 3', 'ready 4']);
  });

  it('drop or dead-letter their head when they are full and do not refuse', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    server.declare({
      exchanges: [],
      queues: [
        {
          name: 'ring',
          arguments: {
            ...QUORUM,
            'x-max-length': 2,
            'x-dead-letter-exchange': names.dead,
            'x-dead-letter-routing-key': 'mail',
          },
        },
      ],
      bindings: [],
    });
    for (const id of ['1', '2', '3']) await broker.publish(message(id, '', 'ring'));
    expect(shown(server, 'ring')).toEqual(['ready 2', 'ready 3']);
    expect(server.contents('mail.dead')[0]?.properties.headers['x-first-death-reason']).toBe('maxlen');
  });
});

describe('faults', () => {
  it('a message that was lost on the way is sent again: one copy', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    server.failPublishes('lost', 2);
    await Promise.all([broker.publish(message('1')), broker.publish(message('2'))]);
    expect(shown(server, 'mail').sort()).toEqual(['ready 1', 'ready 2']);
  });

  it('a confirm that was lost makes a second copy', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    server.failPublishes('unconfirmed');
    await broker.publish(message('1'));
    expect(shown(server, 'mail')).toEqual(['ready 1', 'ready 1']);
    expect(broker.status.connected).toBe(true);
  });

  it('a refusal is tried again until the deadline', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    server.failPublishes('refused', 3);
    const publishing = broker.publish(message('1'));
    await clock.advance(1000);
    await publishing;
    server.failPublishes('refused', 1000);
    const refused = broker.publish(message('2'), { deadline: 500 }).catch((error: unknown) => error);
    await clock.advance(500);
    expect(await refused).toBeInstanceOf(RefusedError);
  });

  it('acks that are lost: true is said, the message comes again, and close says so', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    await broker.publish(message('1'));
    const subscription = broker.subscribe('mail', { prefetch: 1, onDelivery: () => {} });
    await subscription.close(0);
    server.loseAcks(1);
    const acked: boolean[] = [];
    const again = broker.subscribe('mail', {
      prefetch: 1,
      onDelivery: (delivery) => void acked.push(delivery.ack()),
    });
    await clock.advance(0);
    expect([acked, shown(server, 'mail')]).toEqual([[true], ['unacked 1']]);
    expect(await again.close(0)).toBe(false);
    expect(shown(server, 'mail')).toEqual(['ready 1']);
  });

  it('a server that stops keeps what it has, and takes everybody back', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    const seen: boolean[] = [];
    broker.subscribe('mail', { prefetch: 1, onDelivery: (delivery) => void seen.push(delivery.redelivered) });
    await broker.publish(message('1'));
    await clock.advance(0);
    server.stop();
    const late = server.broker();
    const connecting = late.connect({ timeout: 5000 });
    const publishing = broker.publish(message('2'));
    await clock.advance(1000);
    expect([broker.status.connected, shown(server, 'mail')]).toEqual([false, ['ready 1']]);
    server.start();
    await clock.advance(0);
    await Promise.all([connecting, publishing]);
    expect(seen).toEqual([false, true]);
  });

  it('one connection alone can go: acks are not held up by a publisher that is away', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    await broker.publish(message('1'));
    broker.disconnect('publishing');
    const acked: boolean[] = [];
    broker.subscribe('mail', { prefetch: 1, onDelivery: (delivery) => void acked.push(delivery.ack()) });
    await clock.advance(0);
    expect(acked).toEqual([true]);
    broker.reconnect();
    await clock.advance(0);
    expect(broker.status.connected).toBe(true);
  });

  it('a channel that the broker closes gives back what it held, and the consumer attaches again', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    const held: Delivery[] = [];
    const states: string[] = [];
    broker.subscribe('mail', {
      prefetch: 5,
      onDelivery: (delivery) => void held.push(delivery),
      onState: ({ state }) => void states.push(state),
    });
    await broker.publish(message('1'));
    await clock.advance(0);
    broker.interrupt('mail');
    await clock.advance(0);
    expect([states, held.map(({ live, redelivered }) => [live, redelivered])]).toEqual([
      ['attached', 'detached', 'attached'],
      [
        [false, false],
        [true, true],
      ],
    ]);
    expect([broker.status.connected, held[0]?.ack(), held[1]?.ack()]).toEqual([true, false, true]);
  });

  it('an alarm stops publishers, new ones too, and nobody else', async () => {
    const { clock, server } = stage();
    const broker = await connected({ clock, server });
    await broker.publish(message('1'));
    server.block('disk');
    const late = server.broker();
    const heard: string[] = [];
    late.on('blocked', ({ reason }) => void heard.push(reason));
    late.on('unblocked', () => void heard.push('over'));
    const connecting = late.connect({ timeout: 1000 });
    await clock.advance(0);
    await connecting;
    const publishing = late.publish(message('2'));
    expect(await counts(broker, 'mail')).toEqual({ ready: 1, consumers: 0 });
    server.unblock();
    await clock.advance(0);
    await publishing;
    expect(heard).toEqual(['disk', 'over']);
  });

  it('nobody’s later change reaches what is stored', async () => {
    const broker = createMemoryBroker();
    await broker.connect({ timeout: 30_000 });
    broker.server.declare({ exchanges: [], queues: [{ name: 'q', arguments: QUORUM }], bindings: [] });
    const sent = message('1', '', 'q', { list: [1] });
    await broker.publish(sent);
    sent.body[0] = 0;
    (sent.properties.headers.list as number[]).push(2);
    const [stored] = broker.server.contents('q');
    expect([stored?.body.toString(), stored?.properties.headers]).toEqual(['1', { list: [1] }]);
    await broker.close(0);
  });
});

function counts(broker: { admin: ReturnType<typeof createMemoryBroker>['admin'] }, queue: string) {
  return broker.admin((channel) => channel.checkQueue(queue));
}
