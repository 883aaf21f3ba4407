import { describe, expect, it } from '@jest/globals';
import { until } from '../../support/until.ts';
import { Inbox, type World } from '../subject.ts';

export function settleContract(world: () => World): void {
  describe('settling', () => {
    it('ack removes the message', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const inbox = world().inbox(queue);
      const [delivery] = await inbox.next(1);
      expect(delivery?.live).toBe(true);
      expect(delivery?.ack()).toBe(true);
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { ready: 0, consumers: 0 });
      expect(await world().drain(queue)).toEqual([]);
    });

    it('happens once: every further word is false and does nothing', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3');
      const inbox = world().inbox(queue, { prefetch: 3 });
      await inbox.next(3);
      expect([inbox.at(0).ack(), inbox.at(0).release(), inbox.at(0).ack(), inbox.at(0).reject()]).toEqual([
        true,
        false,
        false,
        false,
      ]);
      expect([inbox.at(1).release(), inbox.at(1).ack()]).toEqual([true, false]);
      expect([inbox.at(2).reject(), inbox.at(2).release()]).toEqual([true, false]);
      await inbox.next(1, 3);
      expect(inbox.at(3).body.toString()).toBe('2');
      expect(inbox.at(3).ack()).toBe(true);
      await inbox.subscription.close(30_000);
      await world().untilCounts(queue, { ready: 0, consumers: 0 });
      expect(await world().drain(queue)).toEqual([]);
    });

    it('release gives it back for anyone, marked as redelivered', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const first = world().inbox(queue);
      const [delivery] = await first.next(1);
      expect(delivery?.redelivered).toBe(false);
      await first.subscription.cancel(30_000);
      const second = world().inbox(queue, {}, await world().connected());
      expect(delivery?.release()).toBe(true);
      const [again] = await second.next(1);
      expect(again).toMatchObject({ redelivered: true, body: Buffer.from('1') });
    });

    it('what is released comes before all that was not handed out yet, in the order of the releases', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3', '4', '5');
      const inbox = world().inbox(queue, { prefetch: 3 });
      await inbox.next(3);
      await inbox.subscription.cancel(30_000);
      for (const delivery of inbox.deliveries) delivery.release();
      await world().untilCounts(queue, { ready: 5 });
      await inbox.subscription.close(30_000);
      expect(await world().drain(queue)).toEqual(['1', '2', '3', '4', '5']);
    });

    it('reject hands the message to the queue’s own dead-lettering, as it is', async () => {
      await world().topology(['mail'], []);
      const [mail, dead] = [world().names.queue('mail'), world().names.deadQueue('mail')];
      await world().broker.publish({
        exchange: world().names.jobs,
        routingKey: mail,
        body: Buffer.from('{"bad"'),
        properties: { messageId: 'id-1', type: 'T', headers: { mine: 1 } },
      });
      const [delivery] = await world().inbox(mail).next(1);
      expect(delivery?.reject()).toBe(true);
      const [buried] = await world().inbox(dead).next(1);
      expect(buried).toMatchObject({ body: Buffer.from('{"bad"'), redelivered: false, routingKey: mail });
      expect(buried?.properties).toMatchObject({ messageId: 'id-1', type: 'T', headers: { mine: 1 } });
    });

    it('does nothing once the channel is gone: not live, false, one `stale` each, and the message comes again', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3');
      const stale: string[] = [];
      world().broker.on('stale', ({ queue: of }) => stale.push(of));
      const inbox = world().inbox(queue, { prefetch: 3 });
      const old = await inbox.next(3);
      await world().subject.cut(world().broker);
      await until(() => !inbox.subscription.attached);
      expect(old.map(({ live }) => live)).toEqual([false, false, false]);
      expect([old[0]?.ack(), old[1]?.release(), old[2]?.reject()]).toEqual([false, false, false]);
      expect(stale).toEqual([queue, queue, queue]);
      await world().subject.mend(world().broker);
      const again = await inbox.next(3, 3);
      expect(again.map(({ body }) => body.toString()).sort()).toEqual(['1', '2', '3']);
      expect(again.every(({ redelivered, live }) => redelivered && live)).toBe(true);
      expect(old[0]?.ack()).toBe(false);
      for (const delivery of again) expect(delivery.ack()).toBe(true);
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { consumers: 0 });
      expect(await world().drain(queue)).toEqual([]);
    });

    it('says how often it was handed out on channels that went', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const inbox = world().inbox(queue);
      const [first] = await inbox.next(1);
      expect(first?.deliveryCount ?? 0).toBe(0);
      for (const times of [1, 2]) {
        await world().subject.cut(world().broker);
        await until(() => !inbox.subscription.attached);
        await world().subject.mend(world().broker);
        await inbox.next(1, times);
        expect(inbox.at(times).deliveryCount).toBe(times);
      }
    });

    it('many acks in a row all arrive when the subscription is closed right after', async () => {
      const queue = await world().queue('mail');
      const bodies = Array.from({ length: 250 }, (_, index) => `${index}`);
      await world().publish(queue, ...bodies);
      const inbox = world().inbox(queue, { prefetch: 250 });
      for (const delivery of await inbox.next(250)) delivery.ack();
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { consumers: 0 });
      expect(await world().drain(queue)).toEqual([]);
    });

    it('acks in any order remove exactly what was acked', async () => {
      const queue = await world().queue('mail');
      const bodies = Array.from({ length: 40 }, (_, index) => `${index}`);
      await world().publish(queue, ...bodies);
      const inbox = world().inbox(queue, { prefetch: 40 });
      const deliveries = await inbox.next(40);
      for (const index of [39, 3, 1, 0, 7, 2, 20]) deliveries[index]?.ack();
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { ready: 33, consumers: 0 });
      const acked = new Set(['39', '3', '1', '0', '7', '2', '20']);
      expect(await world().drain(queue)).toEqual(bodies.filter((body) => !acked.has(body)));
    });

    it('works from inside the delivery itself', async () => {
      const queue = await world().queue('mail');
      const bodies: string[] = [];
      const inbox = new Inbox(world().broker, queue, {
        prefetch: 1,
        onDelivery(delivery) {
          bodies.push(delivery.body.toString());
          delivery.ack();
        },
      });
      await world().publish(queue, '1', '2', '3');
      await until(() => bodies.length === 3);
      expect(await inbox.subscription.close(30_000)).toBe(true);
      await world().untilCounts(queue, { consumers: 0 });
      expect(await world().drain(queue)).toEqual([]);
    });
  });
}
