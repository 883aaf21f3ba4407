import { describe, expect, it } from '@jest/globals';
import type { Publication } from '../../../src/broker/broker.ts';
import {
  BlockedError,
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  RefusedError,
  UnroutableError,
} from '../../../src/core/errors.ts';
import { ownTime } from '../../support/own-time.ts';
import { until } from '../../support/until.ts';
import { message, type World } from '../subject.ts';

export function publishContract(world: () => World): void {
  /** A broker that is slow to answer lets the deadline pass without a word: that is no refusal yet. */
  const untilRefused = (queue: string, deadline: number) =>
    until(
      async () => {
        const began = performance.now();
        const error = await world()
          .broker.publish(message(queue, 'x'), { deadline })
          .then(
            () => new Error('it was kept'),
            (reason: unknown) => reason,
          );
        if (!(error instanceof RefusedError)) throw error;
        return performance.now() - began;
      },
      { what: 'a refusal' },
    );

  const untilFull = (queue: string) => untilRefused(queue, 100);

  describe('publish', () => {
    it('resolves when the message is in its queue', async () => {
      const queue = await world().queue('mail');
      await world().broker.publish(message(queue, 'one'));
      expect(await world().drain(queue)).toEqual(['one']);
    });

    it('brings body, properties and headers as they were', async () => {
      const queue = await world().queue('mail');
      const sent: Publication = {
        ...message(queue, ''),
        body: Buffer.from([0, 1, 254, 255]),
        properties: {
          messageId: 'id-1',
          type: 'SendReceipt',
          contentType: 'application/json',
          contentEncoding: 'utf-8',
          timestamp: 1_800_000_000,
          correlationId: 'c',
          replyTo: 'r',
          appId: 'a',
          headers: {
            n: 3,
            big: 1_800_000_000_123,
            half: 0.5,
            yes: true,
            text: 'ü',
            list: [1, 'x'],
            table: { a: { b: 1 } },
          },
        },
      };
      await world().broker.publish(sent);
      const [delivery] = await world().inbox(queue).next(1);
      expect(delivery).toMatchObject({
        exchange: queue,
        routingKey: queue,
        redelivered: false,
        body: sent.body,
      });
      const said = Object.fromEntries(
        Object.entries(delivery?.properties ?? {}).filter(([, value]) => value !== undefined),
      );
      expect(said).toMatchObject(sent.properties);
    });

    it('keeps an empty body, and a message without an id', async () => {
      const queue = await world().queue('mail');
      await world().broker.publish({ ...message(queue, ''), properties: { headers: {} } });
      const [delivery] = await world().inbox(queue).next(1);
      expect(delivery?.body).toHaveLength(0);
      expect(delivery?.properties.messageId).toBeUndefined();
    });

    it('keeps the order of concurrent calls', async () => {
      const queue = await world().queue('mail');
      const bodies = Array.from({ length: 200 }, (_, index) => `${index}`);
      await world().publish(queue, ...bodies);
      expect((await world().inbox(queue, { prefetch: 200 }).next(200)).map(({ body }) => `${body}`)).toEqual(
        bodies,
      );
    });

    it('rejects as unroutable where no queue is bound, and where there is no exchange; what goes beside it arrives', async () => {
      const queue = await world().queue('mail');
      const noBinding = { ...message(queue, 'x'), routingKey: 'nobody' };
      const noExchange = { ...message(queue, 'y'), exchange: `${queue}.none` };
      const results = await Promise.allSettled(
        [message(queue, '1'), noBinding, message(queue, '2'), noExchange, message(queue, '3')].map((each) =>
          world().broker.publish(each),
        ),
      );
      const errors = results.map((result) => (result.status === 'rejected' ? result.reason : undefined));
      expect(errors[1]).toBeInstanceOf(UnroutableError);
      expect(errors[3]).toBeInstanceOf(UnroutableError);
      expect([errors[0], errors[2], errors[4]]).toEqual([undefined, undefined, undefined]);
      expect([...new Set(await world().drain(queue))].sort()).toEqual(['1', '2', '3']);
    });

    it('takes a message for routed that an alternate exchange took', async () => {
      const queue = await world().queue('rest');
      const exchange = world().named('mail');
      await world().broker.admin((channel) =>
        channel.declareExchange({
          name: exchange,
          type: 'direct',
          arguments: { 'alternate-exchange': queue },
        }),
      );
      await world().broker.publish({ ...message(queue, 'one'), exchange });
      expect(await world().drain(queue)).toEqual(['one']);
    });

    it('rejects at its deadline while a full queue refuses', async () => {
      const queue = await world().queue('small', { 'x-max-length': 2, 'x-overflow': 'reject-publish' });
      await untilFull(queue);
      expect(await untilRefused(queue, 200)).toBeGreaterThanOrEqual(195);
    });

    it('keeps what was refused first, once there is room before its deadline', async () => {
      const queue = await world().queue('small', { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
      await untilFull(queue);
      let kept = false;
      const waiting = world()
        .broker.publish(message(queue, 'late'), { deadline: 60_000 })
        .then(() => (kept = true));
      // What is sent behind it is refused, so it was refused itself.
      await untilRefused(queue, 100);
      expect(kept).toBe(false);
      // Room there is from the first message on that is taken out: it may come while the others still are.
      const first = await world().drain(queue);
      await waiting;
      const bodies = [...first, ...(await world().drain(queue))];
      expect(bodies.filter((body) => body === 'late')).toHaveLength(1);
    });

    it('rejects at its deadline without a connection, and not much later', async () => {
      const queue = await world().queue('mail');
      await world().subject.cut(world().broker);
      const began = Date.now();
      const publishing = world().broker.publish(message(queue, 'x'), { deadline: 150 });
      expect(await ownTime(expect(publishing).rejects.toBeInstanceOf(DeadlineError))).toBeLessThan(2000);
      expect(Date.now() - began).toBeGreaterThanOrEqual(145);
    });

    it('waits for a connection, then publishes what waited, in order', async () => {
      const queue = await world().queue('mail');
      await world().subject.cut(world().broker);
      await until(() => !world().broker.status.connected);
      const publishing = world().publish(queue, '1', '2', '3');
      await world().subject.mend(world().broker);
      await publishing;
      expect(await world().drain(queue)).toEqual(['1', '2', '3']);
    });

    it('loses nothing of a burst that a lost connection meets half-way', async () => {
      const queue = await world().queue('mail');
      const bodies = Array.from({ length: 300 }, (_, index) => `${index}`);
      const publishing = bodies.map((body) =>
        world().broker.publish(message(queue, body), { deadline: 60_000 }),
      );
      await publishing[0];
      await world().subject.cut(world().broker);
      await world().subject.mend(world().broker);
      await Promise.all(publishing);
      expect(new Set(await world().drain(queue))).toEqual(new Set(bodies));
    });

    it('rejects when its signal is aborted, at once', async () => {
      const queue = await world().queue('mail');
      await world().subject.cut(world().broker);
      const given = new AbortController();
      const publishing = world().broker.publish(message(queue, 'x'), { signal: given.signal });
      given.abort();
      await expect(publishing).rejects.toBeInstanceOf(ClosedError);
      await expect(
        world().broker.publish(message(queue, 'x'), { signal: given.signal }),
      ).rejects.toBeInstanceOf(ClosedError);
    });

    it('rejects headers that cannot be encoded, and harms nothing beside them', async () => {
      const queue = await world().queue('mail');
      const tooMuch = {
        ...message(queue, 'x'),
        properties: { messageId: 'x', headers: { text: 'x'.repeat(70_000) } },
      };
      const results = await Promise.allSettled([
        world().broker.publish(message(queue, '1')),
        world().broker.publish(tooMuch),
        world().broker.publish(message(queue, '2')),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(PayloadInvalidError);
      expect(await world().drain(queue)).toEqual(['1', '2']);
    });

    it('rejects when the broker object is closed', async () => {
      const queue = await world().queue('mail');
      const broker = await world().connected();
      await broker.close(1000);
      await expect(broker.publish(message(queue, 'x'))).rejects.toBeInstanceOf(ClosedError);
    });

    it('waits while the broker takes no messages, and says so at the deadline', async () => {
      const { block, unblock } = world().subject;
      if (!block || !unblock) return;
      const queue = await world().queue('mail');
      block('low on memory');
      expect(world().broker.status.blocked).toBe('low on memory');
      const late = world().broker.publish(message(queue, 'late'), { deadline: 50 });
      const waiting = world().broker.publish(message(queue, 'in time'));
      await expect(late).rejects.toBeInstanceOf(BlockedError);
      unblock();
      await waiting;
      expect(await world().drain(queue)).toEqual(['in time']);
    });

    it('sends a message that is to be sent once a single time, and rejects when its outcome stays unknown', async () => {
      const queue = await world().queue('mail');
      const broker = await world().connected();
      const sent = Array.from({ length: 50 }, (_, n) =>
        broker.publish(message(queue, `${n}`), { once: true }).then(
          () => n,
          (error) => error,
        ),
      );
      // One has its confirm, and more are under way.
      expect(await sent[0]).toBe(0);
      await world().subject.cut(broker);
      await world().subject.mend(broker);
      const results = await Promise.all(sent);
      const kept = results.filter((result) => typeof result === 'number').map(String);
      for (const error of results.filter((result) => typeof result !== 'number'))
        expect(error).toBeInstanceOf(DeadlineError);
      const bodies = await world().drain(queue);
      expect(new Set(bodies).size).toBe(bodies.length);
      expect(bodies).toEqual(expect.arrayContaining(kept));
    });
  });
}
