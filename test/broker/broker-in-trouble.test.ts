/** Promises 1 and 2 on a broker that is out of memory, that takes no large bodies, that is killed. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Job, type JobContext } from 'warren';
import { BlockedError, PayloadTooLargeError } from '../../src/core/errors.ts';
import {
  canStartBrokers,
  NO_BROKERS,
  type PrivateBroker,
  setMemoryAlarm,
  startPrivateBroker,
  untilNewQueuesSurvive,
} from '../support/broker.ts';
import { publications, to, took, untilItTakesLess } from '../support/publications.ts';
import { startRuntime } from '../support/runtime.ts';
import { describeWhere } from '../support/tools.ts';
import { until } from '../support/until.ts';

const { connected, declare, idsIn } = publications();

let attempts: number[] = [];
let fail: () => void = () => {};
const told = new Promise<void>((resolve) => {
  fail = resolve;
});

class FailsWhenTold extends Job {
  static override queue = 'told';
  static override retry = { attempts: 2, backoff: ['300ms'] };
  async perform(_: unknown, { attempt }: JobContext) {
    attempts.push(attempt);
    await told;
    if (attempt === 1) throw new Error('as told');
  }
}

describeWhere(await canStartBrokers(), NO_BROKERS)('a broker in trouble', () => {
  let own: PrivateBroker;

  beforeAll(async () => {
    own = await startPrivateBroker(undefined, { conf: 'max_message_size = 100000' });
  }, 240_000);
  afterAll(() => own?.remove());

  it('blocks until the deadline, is told, and takes messages again', async () => {
    const broker = await connected(own.url);
    const told: unknown[] = [];
    broker.on('blocked', (data) => told.push(data));
    broker.on('unblocked', (data) => told.push(data));
    const queue = await declare(broker);
    await setMemoryAlarm(own, true);
    // A connection hears of the alarm by its first publication.
    const first = broker.publish(to(queue, 'first'), { deadline: 10_000 });
    await expect(first).rejects.toThrow(BlockedError);
    expect(told).toHaveLength(1);
    expect(broker.status.blocked).toMatch(/memory/);
    const unsent = broker.publish(to(queue, 'unsent'), { deadline: 100 });
    await expect(unsent).rejects.toThrow(BlockedError);
    await expect(unsent).rejects.toThrow(/memory.*never sent/);
    const patient = broker.publish(to(queue, 'patient'), { deadline: 60_000 });
    await setMemoryAlarm(own, false);
    await patient;
    expect(told).toHaveLength(2);
    expect(broker.status.blocked).toBeUndefined();
    expect(await idsIn(broker, queue, 2)).toEqual(['first', 'patient']);
  });

  it('does not hold up closing while it takes nothing', async () => {
    const { url } = own;
    await setMemoryAlarm(own, true);
    const outcomes: string[] = [];
    await untilItTakesLess(1500, async () => {
      const broker = await connected(url);
      const queue = await declare(broker);
      const publishing = broker.publish(to(queue), { deadline: 200 });
      outcomes.push(...(await Promise.allSettled([publishing])).map(({ status }) => status));
      return took(broker.close(300));
    });
    expect(new Set(outcomes)).toEqual(new Set(['rejected']));
    await setMemoryAlarm(own, false);
  });

  it('holds up a retry until the alarm is over', async () => {
    attempts = [];
    await using started = await startRuntime([FailsWhenTold], { url: own.url }, { clientUrl: own.url });
    const blocked = new Promise((resolve) => started.runtime.on('broker.blocked', resolve));
    const done = new Promise((resolve) => started.runtime.on('job.succeeded', resolve));
    await started.client.enqueue(FailsWhenTold, null);
    await until(() => attempts.length === 1, { what: 'the first attempt' });
    await setMemoryAlarm(own, true);
    fail();
    await blocked;
    expect(attempts).toEqual([1]);
    await setMemoryAlarm(own, false);
    await done;
    expect(attempts).toEqual([1, 2]);
  });

  it('refuses a body that is too large, which harms itself alone', async () => {
    const broker = await connected(own.url);
    const queue = await declare(broker);
    const before = broker.publish(to(queue, 'before'));
    const large = broker.publish(to(queue, 'large', { body: Buffer.alloc(100_001) }));
    const after = broker.publish(to(queue, 'after'));
    await expect(large).rejects.toThrow(PayloadTooLargeError);
    await expect(large).rejects.toThrow(/100001 bytes is larger than the broker takes/);
    await Promise.all([before, after]);
    expect(new Set(await idsIn(broker, queue, 2))).toEqual(new Set(['before', 'after']));
  });

  it('that is killed in the middle keeps all that it confirmed', async () => {
    const broker = await connected(own.url);
    const queue = await declare(broker);
    await untilNewQueuesSurvive(own);
    const ids = Array.from({ length: 3000 }, (_, index) => `${index}`);
    let kept = 0;
    const publishing = Promise.all(
      ids.map((id) => broker.publish(to(queue, id), { deadline: 90_000 }).then(() => kept++)),
    );
    await until(() => kept > 500, { every: 1 });
    await own.kill();
    await own.start();
    await publishing;
    expect(new Set(await idsIn(broker, queue, 3000))).toEqual(new Set(ids));
  }, 150_000);
});
