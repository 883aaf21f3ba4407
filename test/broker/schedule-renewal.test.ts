/** What the leader of the schedules holds is given back before the broker would take it: ticks go on as before. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { EventBus } from '../../src/core/events.ts';
import { Registry } from '../../src/core/registry.ts';
import { schedulesOf } from '../../src/core/schedule.ts';
import { Job } from '../../src/job.ts';
import { ScheduleLeader } from '../../src/schedule/leader.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

class Second extends Job {
  static override queue = 'seconds';
  static override cron = ['* * * * * *', '0 0 1 1 *'];
  perform() {}
}

const space = testNamespace();
const names = namesFor(space.name);
const broker = createRabbitBroker({ urls: [amqpUrl()] });

beforeAll(async () => {
  await broker.connect({ timeout: 30_000 });
  await applyTopology(
    broker,
    planTopology({ names, queues: [{ name: 'seconds' }], delays: [], schedules: true }),
  );
});
afterAll(async () => {
  await broker.close(1_000);
  await space.remove();
});

it('after ten minutes all comes again, the same leader goes on, and no tick comes twice or is left out', async () => {
  let ahead = 0;
  let cameAgain = 0;
  const bus = new EventBus();
  const told: string[] = [];
  bus.onAny((name) => void told.push(name));
  const ticks: string[] = [];
  const inbox = broker.subscribe(names.queue('seconds'), {
    prefetch: 100,
    onDelivery: (delivery) => {
      ticks.push(String(delivery.properties.messageId));
      delivery.ack();
    },
  });
  const counting: Pick<Broker, 'publish' | 'subscribe'> = {
    publish: (...args) => broker.publish(...args),
    subscribe: (queue, options) =>
      broker.subscribe(queue, {
        ...options,
        onDelivery: (delivery) => {
          if (delivery.redelivered) cameAgain += 1;
          options.onDelivery(delivery);
        },
      }),
  };
  const leader = new ScheduleLeader({
    ...{ broker: counting, bus, names, now: () => Date.now() + ahead, me: { host: 'here', pid: 1 } },
    schedules: schedulesOf(new Registry([Second]).all),
    repair: async () => {},
  });
  leader.start();
  await until(() => ticks.length >= 2, { what: 'two ticks' });
  expect(cameAgain).toBe(0);

  ahead = 601_000;
  await until(() => cameAgain >= 2, { what: 'the table and the tick of next year, once more' });
  const since = ticks.length;
  await until(() => ticks.length >= since + 3, { what: 'three more ticks' });
  expect(told).not.toContain('schedules.left');
  leader.stop();
  await inbox.close(1_000);

  expect(new Set(ticks).size).toBe(ticks.length);
  expect(told.filter((name) => name === 'schedules.leading')).toHaveLength(1);
  expect(told).not.toContain('schedules.failed');
});
