import { describe, expect, it } from '@jest/globals';
import { type AdminChannel, AdminError, type AdminFailure } from '../../../src/broker/broker.ts';
import { until } from '../../support/until.ts';
import { message, QUORUM, type World } from '../subject.ts';

export function adminContract(world: () => World): void {
  const refused = async (call: (channel: AdminChannel) => Promise<unknown>): Promise<AdminError> => {
    const outcome = await world()
      .broker.admin(call)
      .then(
        () => new Error('it was not refused'),
        (error: unknown) => error,
      );
    if (!(outcome instanceof AdminError)) throw outcome;
    return outcome;
  };
  const fails = async (failure: AdminFailure, call: (channel: AdminChannel) => Promise<unknown>) => {
    expect((await refused(call)).failure).toBe(failure);
  };

  describe('admin: declaring', () => {
    it('is safe to repeat, and tells what is in a queue', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      await world().queue('mail');
      await until(() =>
        world()
          .broker.admin((channel) => channel.declareQueue({ name: queue, arguments: QUORUM }))
          .then(({ ready }) => ready === 1),
      );
    });

    it.each([
      [
        'another value',
        { 'x-message-ttl': 2000 },
        { 'x-message-ttl': 1000 },
        "received '2000' but current is '1000'",
      ],
      [
        'one more',
        { 'x-message-ttl': 70_000 },
        {},
        "received the value '70000' of type 'signedint' but current is none",
      ],
      [
        'one less',
        {},
        { 'x-message-ttl': 1000 },
        "received none but current is the value '1000' of type 'short'",
      ],
      [
        'another exchange',
        { 'x-dead-letter-exchange': 'b' },
        { 'x-dead-letter-exchange': 'a' },
        "received 'b' but current is 'a'",
      ],
    ])(
      'refuses a queue that stands with other arguments, and says which: %s',
      async (_, wanted, standing, words) => {
        const queue = await world().queue('mail', standing);
        const error = await refused((channel) =>
          channel.declareQueue({ name: queue, arguments: { ...QUORUM, ...wanted } }),
        );
        expect(error.failure).toBe('different');
        expect(error.message).toContain("PRECONDITION_FAILED - inequivalent arg 'x-");
        expect(error.message).toContain(words);
        expect(error.message).toContain(`for queue '${queue}' in vhost '/'`);
      },
    );

    it.each([
      [{ 'x-delivery-limit': 7 }],
      [{ 'x-queue-type': 'classic' }],
      [{ 'x-overflow': 'reject-publish' }],
      [{ 'x-dead-letter-routing-key': 'k' }],
    ])('sees a difference in %j', async (wanted) => {
      const queue = await world().queue('mail');
      const args = 'x-queue-type' in wanted ? wanted : { ...QUORUM, ...wanted };
      await fails('different', (channel) =>
        channel.declareQueue({ name: queue, arguments: args as typeof QUORUM }),
      );
    });

    it('refuses arguments that a queue of this kind cannot have', async () => {
      const name = world().named('classic');
      const args = {
        'x-queue-type': 'classic',
        'x-dead-letter-exchange': 'd',
        'x-dead-letter-strategy': 'at-least-once',
      };
      await fails('different', (channel) => channel.declareQueue({ name, arguments: args }));
    });

    it('refuses an exchange that stands with another type or alternate', async () => {
      const name = await world().queue('mail');
      const other = await refused((channel) =>
        channel.declareExchange({ name, type: 'fanout', arguments: {} }),
      );
      expect(other.message).toContain(
        `inequivalent arg 'type' for exchange '${name}' in vhost '/': received 'fanout' but current is 'direct'`,
      );
      await fails('different', (channel) =>
        channel.declareExchange({ name, type: 'direct', arguments: { 'alternate-exchange': 'x' } }),
      );
    });

    it('refuses to bind what is not there, and names that belong to the broker', async () => {
      const queue = await world().queue('mail');
      await fails('missing', (channel) =>
        channel.bind({ exchange: `${queue}.none`, queue, routingKey: 'k' }),
      );
      await fails('missing', (channel) =>
        channel.bind({ exchange: queue, queue: `${queue}.none`, routingKey: 'k' }),
      );
      await fails('forbidden', (channel) => channel.declareQueue({ name: 'amq.mine', arguments: QUORUM }));
    });

    it('binds as often as one likes; one copy arrives', async () => {
      const queue = await world().queue('mail');
      await world().broker.admin(async (channel) => {
        await channel.bind({ exchange: queue, queue, routingKey: queue });
        await channel.bind({ exchange: queue, queue, routingKey: 'other' });
      });
      await world().publish(queue, '1');
      await world().broker.publish({ ...message(queue, '2'), routingKey: 'other' });
      expect(await world().drain(queue)).toEqual(['1', '2']);
    });

    it('routes by topic: `*` is a word, `#` any number of them', async () => {
      const queue = await world().queue('mail');
      const exchange = world().named('topics');
      await world().broker.admin(async (channel) => {
        await channel.declareExchange({ name: exchange, type: 'topic', arguments: {} });
        await channel.bind({ exchange, queue, routingKey: '*.1.#' });
      });
      const results = await Promise.allSettled(
        ['0.1', '0.1.mail', '0.1.a.b', '1', '0.0.mail', '0.0.1'].map((key) =>
          world().broker.publish({ ...message(queue, key), exchange, routingKey: key }),
        ),
      );
      expect(results.map(({ status }) => status === 'fulfilled')).toEqual([
        true,
        true,
        true,
        false,
        false,
        false,
      ]);
      expect(await world().drain(queue)).toEqual(['0.1', '0.1.mail', '0.1.a.b']);
    });
  });

  describe('admin: looking and deleting', () => {
    it('says missing for what is not there', async () => {
      const name = world().names.queue('none');
      const error = await refused((channel) => channel.checkQueue(name));
      expect(error.failure).toBe('missing');
      expect(error.message).toContain(`NOT_FOUND - no queue '${name}' in vhost '/'`);
      await fails('missing', (channel) => channel.checkExchange(name));
      await fails('missing', (channel) => channel.get(name));
    });

    it('a failed call costs its channel only', async () => {
      const queue = await world().queue('mail');
      const after = await world().broker.admin(async (channel) => {
        await channel.checkQueue(`${queue}.none`).catch(() => {});
        return channel.checkQueue(queue).catch((error: unknown) => error);
      });
      expect(after).toMatchObject({ name: 'AdminError', failure: 'unavailable' });
      expect(await world().counts(queue)).toEqual({ ready: 0, consumers: 0 });
    });

    it('gives back what `use` gives, and throws what it throws', async () => {
      expect(await world().broker.admin(async () => 7)).toBe(7);
      await expect(world().broker.admin(() => Promise.reject(new RangeError('mine')))).rejects.toThrow(
        RangeError,
      );
    });

    it('counts ready messages without those that are held, and consumers', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3');
      await world().untilCounts(queue, { ready: 3, consumers: 0 });
      const inbox = world().inbox(queue, { prefetch: 1 });
      await inbox.next(1);
      await world().untilCounts(queue, { ready: 2, consumers: 1 });
    });

    it('deletes what is there and does not mind what is not', async () => {
      const queue = await world().queue('mail');
      await world().broker.admin(async (channel) => {
        await channel.deleteQueue(queue);
        await channel.deleteQueue(queue);
        await channel.deleteExchange(queue);
        await channel.deleteExchange(queue);
      });
      await fails('missing', (channel) => channel.checkQueue(queue));
      await fails('missing', (channel) => channel.checkExchange(queue));
    });

    it('deletes only an empty queue when told so, and harms nothing else', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const bystander = world().inbox(await world().queue('other'));
      await bystander.attached();
      await world().untilCounts(queue, { ready: 1 });
      await fails('different', (channel) => channel.deleteQueue(queue, { ifEmpty: true }));
      expect(await world().drain(queue)).toEqual(['1']);
      await world().broker.admin((channel) => channel.deleteQueue(queue, { ifEmpty: true }));
      await fails('missing', (channel) => channel.checkQueue(queue));
      expect(bystander.states).toEqual([{ state: 'attached' }]);
    });
  });

  describe('admin: pulling', () => {
    it('takes one message at a time, tells what is behind it, and gives undefined in the end', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2');
      const seen = await world().broker.admin(async (channel) => {
        const pulled = [await channel.get(queue), await channel.get(queue), await channel.get(queue)];
        pulled[0]?.ack();
        return pulled;
      });
      expect(seen.map((one) => one && [one.body.toString(), one.remaining, one.redelivered])).toEqual([
        ['1', 1, false],
        ['2', 0, false],
        undefined,
      ]);
      expect(seen[0]).toMatchObject({ exchange: queue, routingKey: queue, properties: { messageId: '1' } });
      await world().untilCounts(queue, { ready: 1, consumers: 0 });
      expect(await world().drain(queue)).toEqual(['2']);
    });

    it('browsing gives all back, in order, however often', async () => {
      const queue = await world().queue('mail');
      const bodies = ['1', '2', '3', '4', '5'];
      await world().publish(queue, ...bodies);
      const browse = (count: number) =>
        world().broker.admin(async (channel) => {
          const seen: string[] = [];
          for (let index = 0; index < count; index++)
            seen.push((await channel.get(queue))?.body.toString() ?? '');
          return seen;
        });
      // Never fewer than the time before: see `a look at the first few …` below.
      for (const count of [2, 2, 4, ...Array<number>(27).fill(5)]) {
        expect(await browse(count)).toEqual(bodies.slice(0, count));
        await world().untilCounts(queue, { ready: 5 });
      }
      expect(await world().drain(queue)).toEqual(bodies);
    });

    it('keeps the order of more than ten, too', async () => {
      // To a quorum queue each pull is a consumer of its own, and a channel that closes gives back by their names,
      // '10' before '2'. Beyond 24 the order still gets lost now and then on RabbitMQ under load (100 pulls: 3 of 24).
      const queue = await world().queue('mail');
      const bodies = Array.from({ length: 30 }, (_, index) => `${index}`);
      await world().publish(queue, ...bodies);
      await world().broker.admin(async (channel) => {
        for (let index = 0; index < 20; index++) await channel.get(queue);
      });
      await world().untilCounts(queue, { ready: 30 });
      expect(await world().drain(queue)).toEqual(bodies);
    });

    it('a look at the first few of what came back together puts them behind the rest of it', async () => {
      // How quorum queues are, from 3.10 to 4.3: whoever must keep the order looks at all or at no fewer than before.
      const queue = await world().queue('mail');
      await world().publish(queue, '1', '2', '3', '4', '5');
      const browse = async (count: number) => {
        await world().broker.admin(async (channel) => {
          for (let index = 0; index < count; index++) await channel.get(queue);
        });
        await world().untilCounts(queue, { ready: 5 });
      };
      await browse(4);
      await browse(1);
      expect(await world().drain(queue)).toEqual(['2', '3', '4', '1', '5']);
    });

    it('gives back what was pulled when `use` throws', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      await world()
        .broker.admin(async (channel) => {
          await channel.get(queue);
          throw new Error('half-way');
        })
        .catch(() => {});
      await world().untilCounts(queue, { ready: 1 });
      const [again] = await world().inbox(queue).next(1);
      expect(again?.redelivered).toBe(true);
    });
  });
}
