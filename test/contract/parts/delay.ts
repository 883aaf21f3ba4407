import { describe, expect, it } from '@jest/globals';
import type { Publication } from '../../../src/broker/broker.ts';
import { retryProperties } from '../../../src/core/envelope.ts';
import { levelRoute } from '../../../topology/levels.ts';
import { until } from '../../support/until.ts';
import { QUORUM, type World } from '../subject.ts';

/** The planned topology at work: a delay queue gives back what waited in it by way of `jobs.due`. */
export function delayContract(world: () => World): void {
  const waiting = (ms: number, body: string, queue = 'mail'): Publication => ({
    exchange: world().names.delay(ms),
    routingKey: world().names.queue(queue),
    body: Buffer.from(body),
    properties: { messageId: body, type: 'T', headers: { 'warren-attempt': 2 } },
  });

  describe('delays', () => {
    it('a message comes back to its work queue no earlier than asked, as it was', async () => {
      await world().topology(['mail'], [300]);
      const mail = world().names.queue('mail');
      const inbox = world().inbox(mail);
      await inbox.attached();
      const began = Date.now();
      await world().broker.publish(waiting(300, 'one'));
      const [back] = await inbox.next(1);
      expect(Date.now() - began).toBeGreaterThanOrEqual(299);
      expect(back).toMatchObject({
        body: Buffer.from('one'),
        routingKey: mail,
        exchange: world().names.due,
        redelivered: false,
      });
      expect(back?.properties).toMatchObject({
        messageId: 'one',
        type: 'T',
        headers: { 'warren-attempt': 2 },
      });
    });

    it('keeps order, and a long delay holds no short one up', async () => {
      await world().topology(['mail'], [3_600_000, 200]);
      const inbox = world().inbox(world().names.queue('mail'));
      await world().broker.publish(waiting(3_600_000, 'long'));
      for (const body of ['1', '2', '3']) await world().broker.publish(waiting(200, body));
      await inbox.next(3);
      expect(inbox.bodies).toEqual(['1', '2', '3']);
      await world().untilCounts(world().names.delay(3_600_000), { ready: 1 });
    });

    it('takes the same message round again and again, when it is published afresh each time', async () => {
      await world().topology(['mail'], [100, 150]);
      const inbox = world().inbox(world().names.queue('mail'));
      await world().broker.publish(waiting(100, 'round'));
      for (let round = 1; round <= 4; round++) {
        const [back] = await inbox.next(1, round - 1);
        if (!back) throw new Error('unreachable');
        const properties = retryProperties(back.properties, {
          id: 'round',
          attempt: round + 2,
          dueAt: Date.now(),
        });
        await world().broker.publish({ ...waiting(round % 2 ? 150 : 100, 'round'), properties });
        back.ack();
      }
      const [last] = await inbox.next(1, 4);
      expect(last?.properties.headers['warren-attempt']).toBe(6);
    });

    it('what falls due for a queue that is gone is parked in `unrouted`, and holds nobody up', async () => {
      await world().topology(['mail', 'gone'], [200]);
      const { names, broker } = world();
      await broker.admin((channel) => channel.deleteQueue(names.queue('gone')));
      const orphans = Array.from({ length: 40 }, (_, index) => waiting(200, `orphan ${index}`, 'gone'));
      await Promise.all(orphans.map((orphan) => broker.publish(orphan)));
      await broker.publish(waiting(200, 'mine'));
      const [mine] = await world().inbox(names.queue('mail')).next(1);
      expect(mine?.body.toString()).toBe('mine');
      await world().untilCounts(names.unroutedQueue, { ready: 40 });
      await until(() =>
        world()
          .counts(names.delay(200))
          .then(({ ready }) => ready === 0),
      );
    });
  });

  const topic = async (name: string): Promise<string> => {
    const full = world().named(name);
    await world().broker.admin((channel) =>
      channel.declareExchange({ name: full, type: 'topic', arguments: {} }),
    );
    return full;
  };

  const sent = (exchange: string, body: string, CC?: string[]): Publication => ({
    exchange,
    routingKey: 'mail',
    body: Buffer.from(body),
    properties: { messageId: body, type: 'T', headers: CC ? { CC } : {} },
  });

  describe('links and second keys', () => {
    it('a message goes on from exchange to exchange, by its routing key or by one in CC, to each queue once', async () => {
      const [first, second, third] = [await topic('first'), await topic('second'), await topic('third')];
      const end = await world().queue('end');
      await world().broker.admin(async (channel) => {
        await channel.link({ from: first, to: second, routingKey: '@.0' });
        await channel.link({ from: first, to: third, routingKey: '@.*' });
        for (const exchange of [second, third])
          await channel.bind({ exchange, queue: end, routingKey: exchange === second ? '@.0.#' : 'mail' });
      });
      await world().broker.publish(sent(first, 'both', ['@.0']));
      await expect(world().broker.publish(sent(first, 'neither'))).rejects.toMatchObject({
        reason: 'unroutable',
      });
      await expect(world().broker.publish(sent(second, 'other', ['@.1']))).rejects.toMatchObject({
        reason: 'unroutable',
      });
      await world().untilCounts(end, { ready: 1 });
      expect(await world().drain(end)).toEqual(['both']);
    });

    it('dead-lettering keeps the second key, unless the queue has one of its own', async () => {
      const [after, end, plain] = [
        await topic('after'),
        await world().queue('end'),
        await world().queue('plain'),
      ];
      const dying = { 'x-message-ttl': 20, 'x-dead-letter-exchange': after };
      const keeps = await world().queue('keeps', { ...QUORUM, ...dying });
      const own = await world().queue('own', { ...QUORUM, ...dying, 'x-dead-letter-routing-key': 'plain' });
      await world().broker.admin(async (channel) => {
        await channel.bind({ exchange: after, queue: end, routingKey: '@.1' });
        await channel.bind({ exchange: after, queue: plain, routingKey: 'plain' });
      });
      for (const queue of [keeps, own])
        await world().broker.publish({ ...sent(queue, queue, ['@.1']), routingKey: queue });
      await world().untilCounts(end, { ready: 1 });
      await world().untilCounts(plain, { ready: 1 });
      expect(await world().drain(end)).toEqual([keeps]);
      expect(await world().drain(plain)).toEqual([own]);
    });

    it('a delay of the levels comes back after the sum of its bits', async () => {
      await world().topology(['eu.mail'], [], { levels: true });
      const mail = world().names.queue('eu.mail');
      const inbox = world().inbox(mail);
      await inbox.attached();
      const { keys } = levelRoute(3);
      const began = Date.now();
      await world().broker.publish({ ...sent(world().names.later, 'three', keys), routingKey: mail });
      const [back] = await inbox.next(1);
      expect(Date.now() - began).toBeGreaterThanOrEqual(2999);
      expect(back).toMatchObject({
        routingKey: mail,
        exchange: world().names.due,
        body: Buffer.from('three'),
      });
    });
  });
}
