/** When a worker looks into `unrouted`, and what it does where it cannot. The way itself: test/broker/reroute.test.ts. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AdminError, type Broker } from '../../src/broker/broker.ts';
import { createMemoryBroker } from '../../src/broker/memory.ts';
import { BlockedError, PayloadInvalidError, RefusedError } from '../../src/core/errors.ts';
import { EventBus } from '../../src/core/events.ts';
import { Rerouter } from '../../src/reroute.ts';
import { type Post, postOffice } from '../support/letters.ts';
import { type UntilOptions, until as untilReal } from '../support/until.ts';
import { holdTime, pass, releaseTime } from './time.ts';

let broker: ReturnType<typeof createMemoryBroker>;
let post: Post;
let bus: EventBus;
let looks: number;
let visits: number;
let rerouter: Rerouter | undefined;

beforeEach(async () => {
  holdTime();
  broker = createMemoryBroker();
  await broker.connect({ timeout: 1_000 });
  post = postOffice(broker, '');
  await post.declare();
  bus = new EventBus();
  looks = 0;
  visits = 0;
});

afterEach(async () => {
  await stopped(1_000);
  await broker.close(0);
  releaseTime();
});

/** One look after the other, a ms apart; whoever waits for a while waits on. */
const until = (condition: () => unknown, options: UntilOptions) =>
  untilReal(
    async () => {
      await pass(1);
      return condition();
    },
    { every: 1, ...options },
  );

/** What `stop` says, when so much time has passed. */
async function stopped(ms: number): Promise<boolean | undefined> {
  const stopping = rerouter?.stop(ms);
  await pass(ms + 1);
  return stopping;
}

async function park(queue: string, ...ids: string[]): Promise<void> {
  for (const messageId of ids)
    await broker.publish({
      exchange: post.names.unrouted,
      routingKey: queue,
      body: Buffer.from('null'),
      properties: { messageId, type: 'Mail', headers: {} },
    });
}

type Publish = Broker['publish'];

/** One that counts what is asked of it, and publishes as the test wants. */
function watched(
  publish: Publish,
  get: () => void = () => {},
): Pick<Broker, 'admin' | 'publish' | 'subscribe'> {
  return {
    publish,
    subscribe: (queue, options) => broker.subscribe(queue, options),
    admin: (use) =>
      broker.admin((channel) =>
        use({
          ...channel,
          checkQueue: async (name) => {
            looks++;
            return channel.checkQueue(name);
          },
          get: async (name) => {
            visits++;
            get();
            return channel.get(name);
          },
        }),
      ),
  };
}

/** Looks without a pause, so that a minute's looks take a moment. */
const AT_ONCE = () => -1;

function start(publish: Publish = (...args) => broker.publish(...args), get?: () => void): Rerouter {
  rerouter = new Rerouter({
    broker: watched(publish, get),
    bus,
    names: post.names,
    queues: ['mail'],
    random: AT_ONCE,
  });
  rerouter.start();
  return rerouter;
}

/** In order, with all the time that the machine takes for it. */
async function stop(): Promise<void> {
  expect(await rerouter?.stop(1_000)).toBe(true);
}

function failuresTold(): Error[] {
  const told: Error[] = [];
  bus.on('reroute.failed', ({ error }) => void told.push(error));
  return told;
}

const looked = (times: number) => until(() => looks >= times, { what: `${times} looks` });

describe('looking', () => {
  it('takes nothing out where there is nothing', async () => {
    start();
    await looked(20);
    expect(visits).toBe(0);
  });

  it('does not go again through what is for others, until it becomes more', async () => {
    await park('report', 'a', 'b');
    start();
    await looked(20);
    expect(visits).toBe(1);
    await park('mail', 'job-1');
    await until(async () => (await post.ids('mail')).length === 1, { what: 'the job to come home' });
    await stop();
    expect(await post.ids('unrouted')).toEqual(['a', 'b']);
  });

  it('goes through it again when a queue is consumed again', async () => {
    await park('report', 'a');
    start();
    await looked(20);
    bus.emit('consumer.attached', { queue: 'mail', concurrency: 1 });
    await until(() => visits === 2, { what: 'a second visit' });
  });

  it('ends at a stop', async () => {
    const it = start();
    await looked(3);
    expect(await it.stop(1_000)).toBe(true);
    const before = looks;
    bus.emit('consumer.attached', { queue: 'mail', concurrency: 1 });
    await pass(60_000);
    expect(looks).toBeLessThanOrEqual(before + 1);
  });

  it('ends, and says so once, where this user may not read it', async () => {
    const told: string[] = [];
    bus.on('reroute.forbidden', ({ reason }) => void told.push(reason));
    await park('mail', 'job-1');
    start(undefined, () => {
      throw new AdminError('forbidden', 'no access');
    });
    await until(() => told.length > 0, { what: 'the event' });
    bus.emit('consumer.attached', { queue: 'mail', concurrency: 1 });
    await pass(60_000);
    expect([told, visits]).toEqual([['no access'], 1]);
  });
});

describe('what cannot be sent on', () => {
  it.each([
    ['a queue is full', new RefusedError('full')],
    ['the broker takes nothing', new BlockedError('memory')],
  ])('stays in its order while %s, is told once and tried again', async (_, error) => {
    const told = failuresTold();
    await park('mail', 'job-1', 'job-2', 'job-3');
    let asked = 0;
    start(() => {
      asked++;
      return Promise.reject(error);
    });
    await until(() => asked >= 3, { what: 'three tries' });
    // One a visit: what is behind the first would fare no better.
    expect(visits).toBeLessThanOrEqual(asked + 1);
    expect(told).toEqual([error]);
    await stop();
    expect(await post.ids('unrouted')).toEqual(['job-1', 'job-2', 'job-3']);
  });

  it('is not tried again at once where it can never be written', async () => {
    const told = failuresTold();
    await park('mail', 'job-1', 'job-2');
    start(() => Promise.reject(new PayloadInvalidError('headers')));
    await looked(20);
    expect([visits, told.length]).toEqual([1, 1]);
    await stop();
    expect(await post.ids('unrouted')).toEqual(['job-1', 'job-2']);
  });

  it('goes on behind one that has to stay', async () => {
    await park('mail', 'job-1', 'job-2', 'job-3');
    start((publication, options) =>
      publication.properties.messageId === 'job-2'
        ? Promise.reject(new PayloadInvalidError('headers'))
        : broker.publish(publication, options),
    );
    await until(async () => (await post.ids('mail')).length === 2, { what: 'two jobs' });
    await stop();
    expect([await post.ids('mail'), await post.ids('unrouted')]).toEqual([['job-1', 'job-3'], ['job-2']]);
  });
});

describe('a stop under way', () => {
  async function arrived(underWay: Promise<void>): Promise<void> {
    let here = false;
    void underWay.then(() => {
      here = true;
    });
    await until(() => here, { what: 'the publish' });
  }

  it('does not wait for a confirm that does not come, and what was not confirmed stays', async () => {
    await park('mail', 'job-1', 'job-2');
    const underWay = new Promise<void>((resolve) => {
      start((_, { signal } = {}) => {
        resolve();
        return new Promise((_, reject) =>
          signal?.addEventListener('abort', () => reject(new Error('aborted'))),
        );
      });
    });
    await arrived(underWay);
    const stopping = rerouter?.stop(10_000);
    await pass(5_000);
    expect(await stopping).toBe(true);
    await until(async () => (await post.ids('unrouted')).length === 2, { what: 'both in their queue' });
  });

  it('is unsure where something was sent on and its ack may not have arrived', async () => {
    await park('mail', 'job-1', 'job-2');
    const underWay = new Promise<void>((resolve) => {
      start(async (publication) => {
        if (publication.properties.messageId === 'job-1') return;
        resolve();
        broker.disconnect('consuming');
        await new Promise(() => {});
      });
    });
    await arrived(underWay);
    expect(await stopped(1_200)).toBe(false);
  });
});
