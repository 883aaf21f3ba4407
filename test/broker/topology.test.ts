/** The plan on a real broker: declared, compared, and never changed. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { TopologyMismatchError } from '../../src/core/errors.ts';
import { applyTopology, describeDifference, diffTopology, verifyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology, type QueueSpec, type Topology, type TopologyWishes } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { management } from '../support/management.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { sorted, standing } from '../support/standing.ts';
import { until } from '../support/until.ts';

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let space: TestNamespace;
let names: Names;

beforeAll(() => broker.connect({ timeout: 30_000, roles: ['consuming'] }));
afterAll(() => broker.close(1_000));

beforeEach(() => {
  space = testNamespace();
  names = namesFor(space.name);
});
afterEach(() => space.remove());

const QUEUES: TopologyWishes['queues'] = [{ name: 'mail' }, { name: 'fast', type: 'classic' }];
const plan = (queues = QUEUES, delays = [300, 60_000]): Topology => planTopology({ names, queues, delays });
const everything = () => standing(`${space.name}.`);
const nothing: Topology = { exchanges: [], queues: [], bindings: [] };

/** Someone else's queue under one of our names. */
function stand(name: string, args: QueueSpec['arguments']): Promise<void> {
  return broker.admin(async (channel) => void (await channel.declareQueue({ name, arguments: args })));
}

function specOf(name: string): QueueSpec {
  return plan().queues.find((queue) => queue.name === name) as QueueSpec;
}

async function mismatch(attempt: Promise<unknown>): Promise<TopologyMismatchError> {
  const error = await attempt.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TopologyMismatchError);
  return error as TopologyMismatchError;
}

describe('apply', () => {
  it('makes exactly what is planned: names, types, arguments, bindings', async () => {
    await applyTopology(broker, plan());
    expect(sorted(await everything())).toEqual(sorted(plan()));
  });

  it('can be repeated', async () => {
    const first = await applyTopology(broker, plan());
    const before = await everything();
    const second = await applyTopology(broker, plan());
    expect([second.created, second.present]).toEqual([[], first.created]);
    expect(sorted(await everything())).toEqual(sorted(before));
  });

  it('can be done by many at once, as when replicas start together', async () => {
    const others = [0, 1, 2].map(() => createRabbitBroker({ urls: [amqpUrl()] }));
    await Promise.all(others.map((other) => applyTopology(other, plan())));
    expect(sorted(await everything())).toEqual(sorted(plan()));
    await Promise.all(others.map((other) => other.close(1_000)));
  });

  it('adds what a new job needs to what stands', async () => {
    await applyTopology(broker, plan([{ name: 'mail' }], [300]));
    const { created } = await applyTopology(broker, plan([{ name: 'mail' }, { name: 'report' }], [300, 500]));
    expect(created).toEqual([
      `exchange ${names.delay(500)}`,
      `queue ${names.deadQueue('report')}`,
      `queue ${names.queue('report')}`,
      `queue ${names.delay(500)}`,
    ]);
  });

  it('puts back a deleted queue, exchange and binding', async () => {
    await applyTopology(broker, plan());
    const api = management();
    const mail = encodeURIComponent(names.queue('mail'));
    await api.remove(`/bindings/%2F/e/${encodeURIComponent(names.due)}/q/${mail}/${mail}`);
    await broker.admin((channel) => channel.deleteQueue(names.delay(300)));
    await broker.admin((channel) => channel.deleteExchange(names.dead));
    await applyTopology(broker, plan());
    expect(sorted(await everything())).toEqual(sorted(plan()));
  });
});

describe('where something stands with other arguments', () => {
  it('apply changes nothing at all, and says it in words', async () => {
    await stand(names.delay(300), { ...specOf(names.delay(300)).arguments, 'x-message-ttl': 5000 });
    const before = await everything();
    const { message, differences } = await mismatch(applyTopology(broker, plan()));
    expect(message).toBe(
      `queue ${names.delay(300)} exists with x-message-ttl 5000, wanted 300; RabbitMQ cannot change it: ` +
        'publish to a new name, or drain and delete it, see docs/operations.md',
    );
    expect(differences).toHaveLength(1);
    expect(await everything()).toEqual(before);
    expect(before.queues.map(({ name }) => name)).toEqual([names.delay(300)]);
  });

  it('tells every argument that differs', async () => {
    await stand(names.queue('mail'), { 'x-queue-type': 'quorum', 'x-delivery-limit': 5, 'x-max-length': 10 });
    const { differences } = await diffTopology(broker, plan());
    const changes = differences.flatMap((difference) =>
      difference.state === 'different' ? difference.changes : [],
    );
    expect(new Map(changes.map(({ argument, found }) => [argument, found]))).toEqual(
      new Map([
        ['x-dead-letter-exchange', null],
        ['x-dead-letter-routing-key', null],
        ['x-dead-letter-strategy', null],
        ['x-overflow', null],
        ['x-delivery-limit', '5'],
        ['x-max-length', '10'],
      ]),
    );
  });

  it.each<[string, QueueSpec['arguments'], string]>([
    ['mail', {}, 'exists as a classic queue, wanted a quorum one'],
    ['mail', { 'x-queue-type': 'classic' }, 'exists as a classic queue, wanted a quorum one'],
    ['mail', { 'x-queue-type': 'stream' }, 'exists as a stream queue, wanted a quorum one'],
    ['fast', { 'x-queue-type': 'quorum' }, 'exists as a quorum queue, wanted a classic one'],
  ])('names another type: queue %s of %p', async (queue, args, words) => {
    await stand(names.queue(queue), args);
    expect((await mismatch(applyTopology(broker, plan()))).message).toContain(
      `queue ${names.queue(queue)} ${words}`,
    );
  });

  it('tells of an exchange of another type, and of one without its alternate', async () => {
    await broker.admin(async (channel) => {
      await channel.declareExchange({ name: names.jobs, type: 'topic', arguments: {} });
      await channel.declareExchange({ name: names.due, type: 'direct', arguments: {} });
    });
    const { message } = await mismatch(verifyTopology(broker, plan()));
    expect(message).toContain(`exchange ${names.jobs} exists with type topic, wanted direct; `);
    expect(message).toContain(
      `exchange ${names.due} exists without alternate-exchange, wanted ${names.unrouted}; `,
    );
  });

  it('says what it can when the broker cuts its words off behind a long name', async () => {
    const queue = 'q'.repeat(180);
    await stand(names.queue(queue), { 'x-queue-type': 'quorum', 'x-delivery-limit': 5 });
    const { message } = await mismatch(applyTopology(broker, plan([{ name: queue }])));
    expect(message).toContain(`queue ${names.queue(queue)} exists with another `);
  });

  it('leaves the connection and everything on it alone', async () => {
    await applyTopology(broker, plan());
    const lost: unknown[] = [];
    const subscription = broker.subscribe(names.queue('mail'), {
      prefetch: 1,
      onDelivery: () => {},
      onState: (state) => void (state.state === 'detached' && lost.push(state)),
    });
    await until(() => subscription.attached, { what: 'the consumer' });
    const off = broker.on('disconnected', (event) => void lost.push(event));
    await mismatch(applyTopology(broker, plan([{ name: 'mail', type: 'classic' }])));
    // What happened to the others on it has been heard of before this answer.
    await broker.admin((channel) => channel.checkQueue(names.queue('mail')));
    expect(lost).toEqual([]);
    expect(subscription.attached).toBe(true);
    off();
    await subscription.close(1_000);
  });
});

describe('plan and verify', () => {
  it('change nothing where all is missing, and say how it comes to be', async () => {
    const { differences } = await diffTopology(broker, plan());
    expect(differences.map(describeDifference)).toContain(
      `queue ${names.queue('mail')} does not exist; 'warren topology apply' creates it`,
    );
    await mismatch(verifyTopology(broker, plan()));
    expect(await everything()).toEqual(nothing);
  });

  it('find nothing to say of what apply made', async () => {
    await applyTopology(broker, plan());
    expect((await verifyTopology(broker, plan())).differences).toEqual([]);
  });

  it('do not bind', async () => {
    await applyTopology(broker, plan());
    const mail = encodeURIComponent(names.queue('mail'));
    await management().remove(`/bindings/%2F/e/${encodeURIComponent(names.jobs)}/q/${mail}/${mail}`);
    await verifyTopology(broker, plan());
    expect((await everything()).bindings).toHaveLength(plan().bindings.length - 1);
  });
});
