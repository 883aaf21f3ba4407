import { describe, expect, it } from '@jest/globals';
import { AdminError, type Broker, type BrokerEvents } from '../../../src/broker/broker.ts';
import { BrokerUnreachableError, ClosedError } from '../../../src/core/errors.ts';
import { ownTime } from '../../support/own-time.ts';
import { until } from '../../support/until.ts';
import { message, type World } from '../subject.ts';

type Heard = { [E in keyof BrokerEvents]: { event: E; data: BrokerEvents[E] } }[keyof BrokerEvents];

function listen(broker: Broker): Heard[] {
  const heard: Heard[] = [];
  for (const event of ['connected', 'disconnected', 'blocked', 'unblocked'] as const) {
    broker.on(event, (data) => void heard.push({ event, data } as Heard));
  }
  return heard;
}

export function connectionContract(world: () => World): void {
  describe('connections', () => {
    it('are open when `connect` resolves, one for each role', async () => {
      const broker = await world().create();
      const heard = listen(broker);
      expect(broker.status.connected).toBe(false);
      await broker.connect({ timeout: 60_000 });
      expect(broker.status).toMatchObject({
        connected: true,
        blocked: undefined,
        version: expect.stringMatching(/\w/),
      });
      expect(heard.map(({ event, data }) => [event, (data as { role?: string }).role]).sort()).toEqual([
        ['connected', 'consuming'],
        ['connected', 'publishing'],
      ]);
      await broker.connect({ timeout: 60_000 });
      expect(heard).toHaveLength(2);
    });

    it('only of the roles that were asked for, more on demand', async () => {
      const broker = await world().create();
      const heard = listen(broker);
      await broker.connect({ timeout: 60_000, roles: ['publishing'] });
      expect(broker.status.connected).toBe(true);
      expect(heard.map(({ data }) => (data as { role?: string }).role)).toEqual(['publishing']);
      const queue = await world().queue('mail');
      await broker.publish(message(queue, '1'));
      expect(await broker.admin((channel) => channel.checkQueue(queue))).toMatchObject({ consumers: 0 });
      await broker.connect({ timeout: 60_000, roles: ['consuming'] });
      await world().inbox(queue, {}, broker).next(1);
    });

    it('show no password', async () => {
      const broker = await world().create();
      const heard = listen(broker);
      await broker.connect({ timeout: 60_000 });
      for (const { data } of heard)
        expect((data as { url: string }).url).not.toMatch(/guest:|:\/\/[^/]*:[^/]*@/);
    });

    it('that cannot be had are given up after the time given; a later try may succeed', async () => {
      const broker = await world().create();
      const heard = listen(broker);
      await world().subject.cut(broker);
      const given = expect(broker.connect({ timeout: 400 })).rejects.toBeInstanceOf(BrokerUnreachableError);
      expect(await ownTime(given)).toBeLessThan(3000);
      expect(broker.status.connected).toBe(false);
      heard.length = 0;
      const later = broker.connect({ timeout: 60_000 });
      await until(
        () => heard.some(({ event, data }) => event === 'disconnected' && !(data as { lost: boolean }).lost),
        { what: 'a try that failed' },
      );
      await world().subject.mend(broker);
      await later;
      expect(broker.status.connected).toBe(true);
    });

    it('come back by themselves, and both going and coming is told', async () => {
      const heard = listen(world().broker);
      await world().subject.cut(world().broker);
      const lost = () =>
        heard.filter(({ event, data }) => event === 'disconnected' && (data as { lost: boolean }).lost);
      await until(() => lost().length === 2, { what: 'both to go' });
      expect(world().broker.status.connected).toBe(false);
      await world().subject.mend(world().broker);
      await until(() => world().broker.status.connected);
      expect(
        lost()
          .map(({ data }) => (data as { role: string }).role)
          .sort(),
      ).toEqual(['consuming', 'publishing']);
      expect(heard.filter(({ event }) => event === 'connected')).toHaveLength(2);
    });

    it('tell nobody who no longer listens', async () => {
      let told = 0;
      const stop = world().broker.on('disconnected', () => void told++);
      stop();
      await world().subject.cut(world().broker);
      await until(() => !world().broker.status.connected);
      expect(told).toBe(0);
    });
  });

  describe('close', () => {
    it('lets publishes under way finish', async () => {
      const queue = await world().queue('mail');
      const broker = await world().connected();
      const publishing = Promise.all(
        Array.from({ length: 50 }, (_, index) => broker.publish(message(queue, `${index}`))),
      );
      await broker.close(30_000);
      await publishing;
      expect(await world().drain(queue)).toHaveLength(50);
    });

    it('rejects what cannot finish in time, and never hangs', async () => {
      const queue = await world().queue('mail');
      const broker = await world().connected();
      await world().subject.cut(broker);
      const publishing = broker.publish(message(queue, 'x')).catch((error: unknown) => error);
      expect(await ownTime(broker.close(100))).toBeLessThan(5000);
      expect(await publishing).toBeInstanceOf(ClosedError);
    });

    it('gives back what was held, and can be repeated', async () => {
      const queue = await world().queue('mail');
      await world().publish(queue, '1');
      const broker = await world().connected();
      const inbox = world().inbox(queue, {}, broker);
      const [held] = await inbox.next(1);
      await broker.close(1000);
      await broker.close(1000);
      expect(broker.status.connected).toBe(false);
      // A broker that is slow to say goodbye is not waited for.
      await until(() => !inbox.subscription.attached, { what: 'its channel to be gone' });
      expect(held?.live).toBe(false);
      expect(held?.ack()).toBe(false);
      await world().untilCounts(queue, { ready: 1, consumers: 0 });
    });

    it('leaves a broker object that refuses everything', async () => {
      const broker = await world().connected();
      await broker.close(1000);
      await expect(broker.admin((channel) => channel.checkQueue('any'))).rejects.toBeInstanceOf(AdminError);
      expect(broker.status.connected).toBe(false);
    });
  });
}
