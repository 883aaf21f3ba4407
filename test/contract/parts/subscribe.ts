import { describe, expect, it } from '@jest/globals';
import { ownTime } from '../../support/own-time.ts';
import { until } from '../../support/until.ts';
import { QUORUM, type World } from '../subject.ts';

export function subscribeContract(world: () => World): void {
  /**
   * For a consumer that tries while its queue is declared or deleted: RabbitMQ may end its connection then (541), and
   * what declares or deletes must not be on that.
   */
  const apart = () => world().connected();

  describe('subscribe', () => {
    it('hands out in order, never more than the prefetch unsettled', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3', '4', '5');
      const inbox = world().inbox(queue, { prefetch: 2 });
      await inbox.next(2);
      await world().untilCounts(queue, { ready: 3 });
      expect(inbox.bodies).toEqual(['1', '2']);
      inbox.at(0).ack();
      await inbox.next(3);
      await world().untilCounts(queue, { ready: 2 });
      expect(inbox.bodies).toEqual(['1', '2', '3']);
    });

    it('takes another prefetch on the way, up and down, and keeps what it holds', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, ...Array.from({ length: 12 }, (_, index) => `${index}`));
      const inbox = world().inbox(queue, { prefetch: 1 });
      await inbox.next(1);
      inbox.subscription.setPrefetch(5);
      await until(() => inbox.deliveries.length >= 5, { what: 'more deliveries' });
      const held = inbox.deliveries.filter(({ live }) => live).length;
      expect(held).toBe(inbox.deliveries.length);
      inbox.subscription.setPrefetch(1);
      for (const delivery of [...inbox.deliveries]) delivery.ack();
      // Soon there is one unsettled at a time; whatever came by the old count goes first.
      await until(
        async () => {
          const unsettled = inbox.deliveries.filter(({ live }) => live);
          for (const delivery of unsettled.slice(1)) delivery.ack();
          const { ready } = await world().counts(queue);
          return (
            inbox.deliveries.length === 12 ||
            (unsettled.length === 1 && ready + inbox.deliveries.length === 12)
          );
        },
        { what: 'the smaller prefetch' },
      );
      const seen = inbox.deliveries.length;
      for (const delivery of inbox.deliveries) delivery.ack();
      if (seen < 12) await inbox.next(1, seen);
      expect(new Set(inbox.bodies).size).toBe(inbox.bodies.length);
    });

    it('shares a queue with other consumers: each message goes to one of them', async () => {
      const queue = await world().queue('mail');
      const [one, two] = [world().inbox(queue), world().inbox(queue, {}, await world().connected())];
      await Promise.all([one.attached(), two.attached()]);
      await world().untilCounts(queue, { consumers: 2 });
      await world().publish(queue, ...Array.from({ length: 20 }, (_, index) => `${index}`));
      await until(() => one.deliveries.length + two.deliveries.length === 20);
      expect(one.deliveries.length).toBe(10);
      expect(new Set([...one.bodies, ...two.bodies]).size).toBe(20);
    });

    it('tells its state, calls nobody before it returns, and knows its queue', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const inbox = world().inbox(queue);
      expect([inbox.deliveries.length, inbox.subscription.attached, inbox.subscription.queue]).toEqual([
        0,
        false,
        queue,
      ]);
      await inbox.next(1);
      expect(inbox.subscription.attached).toBe(true);
      expect(inbox.states).toEqual([{ state: 'attached' }]);
    });

    it('says detached with a reason when its connection goes, no longer live then, and attaches again', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const lives: boolean[] = [];
      const inbox = world().inbox(queue, {
        onState: (state) => {
          inbox.states.push(state);
          lives.push(...inbox.deliveries.map(({ live }) => live));
        },
      });
      await inbox.next(1);
      await world().subject.cut(world().broker);
      await until(() => inbox.lastState === 'detached');
      expect(inbox.states.at(-1)).toEqual({ state: 'detached', reason: expect.stringMatching(/\w/) });
      expect(lives.at(-1)).toBe(false);
      expect(inbox.subscription.attached).toBe(false);
      await world().subject.mend(world().broker);
      await inbox.next(1, 1);
      expect(inbox.lastState).toBe('attached');
    });

    it('asks for a queue that is missing before it tries again', async () => {
      const queue = world().named('late');
      let asked = 0;
      const inbox = world().inbox(queue, {
        onMissing: async () => {
          asked++;
          if (asked === 1) throw new Error('may not declare yet');
          await world().broker.admin((channel) => channel.declareQueue({ name: queue, arguments: QUORUM }));
        },
      });
      await inbox.attached();
      expect(asked).toBeGreaterThanOrEqual(2);
      expect(inbox.states[0]?.state).toBe('detached');
      expect(inbox.lastState).toBe('attached');
    });

    it('attaches again where the queue under it was deleted and came back', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, 'lost');
      const inbox = world().inbox(
        queue,
        { onMissing: async () => void (await world().queue('mail')) },
        await apart(),
      );
      const [held] = await inbox.next(1);
      await world().broker.admin((channel) => channel.deleteQueue(queue));
      await until(() => inbox.states.some(({ state }) => state === 'detached'), { what: 'detached' });
      expect(held?.live).toBe(false);
      expect(held?.ack()).toBe(false);
      await inbox.attached();
      await until(() =>
        world()
          .publish(queue, 'new')
          .then(() => true),
      );
      await inbox.next(1, 1);
      expect(inbox.bodies).toEqual(['lost', 'new']);
    });

    it('attaches to a queue that someone else declares, without being asked', async () => {
      const queue = world().named('late');
      const inbox = world().inbox(queue, {}, await apart());
      await until(() => inbox.lastState === 'detached');
      await world().queue('late');
      await inbox.attached();
    });

    it('cancel: nothing new after it, what is held can be settled', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2');
      const inbox = world().inbox(queue, { prefetch: 2 });
      const [one, two] = await inbox.next(2);
      one?.ack();
      await inbox.subscription.cancel(30_000);
      expect(inbox.subscription.attached).toBe(false);
      const seen = inbox.deliveries.length;
      await world().publish(queue, '3');
      await world().untilCounts(queue, { ready: 1 });
      expect(inbox.deliveries.length).toBe(seen);
      expect(two?.live).toBe(true);
      expect(two?.ack()).toBe(true);
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { ready: 1, consumers: 0 });
      expect(inbox.states.map(({ state }) => state)).toEqual(['attached']);
    });

    it('close: acks arrive, the rest goes back, nothing is live', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3');
      const inbox = world().inbox(queue, { prefetch: 3 });
      const deliveries = await inbox.next(3);
      deliveries[1]?.ack();
      expect(await inbox.subscription.close(30_000)).toBe(true);
      expect(deliveries.map(({ live }) => live)).toEqual([false, false, false]);
      expect(deliveries[0]?.ack()).toBe(false);
      await world().untilCounts(queue, { ready: 2, consumers: 0 });
      expect(await world().drain(queue)).toEqual(['1', '3']);
    });

    it('close in the very moment of subscribing leaves no consumer behind', async () => {
      const queue = await world().queue('mail');
      const inbox = world().inbox(queue);
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().publish(queue, '1');
      await world().untilCounts(queue, { ready: 1, consumers: 0 });
      expect(inbox.deliveries).toHaveLength(0);
    });

    it('close and cancel end in time without a connection', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const inbox = world().inbox(queue);
      await inbox.next(1);
      await world().subject.cut(world().broker);
      const leaving = inbox.subscription.cancel(300).then(() => inbox.subscription.close(300));
      expect(await ownTime(leaving)).toBeLessThan(2000);
      await world().subject.mend(world().broker);
      await world().untilCounts(queue, { ready: 1, consumers: 0 });
    });

    it('waits for a connection that is not open yet', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const broker = await world().create();
      const inbox = world().inbox(queue, {}, broker);
      await broker.connect({ timeout: 60_000 });
      await inbox.next(1);
    });

    it('serves one consumer of a queue with a single active one, and the next when that one has left', async () => {
      const queue = await world().queue('led', { 'x-single-active-consumer': true });
      const first = world().inbox(queue);
      await world().publish(queue, '1', '2');
      await first.next(2);
      const second = world().inbox(queue);
      await until(() => second.states.length > 0);
      await world().publish(queue, '3');
      await first.next(3);
      expect(second.deliveries).toEqual([]);
      first.deliveries[0]?.reject();
      first.subscription.leave();
      // The last settlement may not have arrived: then 1 comes again, in front of the others.
      await until(() => second.bodies.includes('3'), { what: 'all to come to the second' });
      expect(second.bodies.slice(-2)).toEqual(['2', '3']);
      expect(first.deliveries.every(({ live }) => !live)).toBe(true);
    });
  });
}
