/** Dead letters where something goes wrong half-way. Order and speed need a real broker: test/broker/dead.test.ts. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AdminError, type Broker } from '../../../src/broker/broker.ts';
import { createMemoryBroker } from '../../../src/broker/memory.ts';
import { PayloadInvalidError } from '../../../src/core/errors.ts';
import {
  type DeadLetter,
  type DeadQueue,
  discardDeadLetters,
  listDeadLetters,
  replayDeadLetters,
  showDeadLetters,
} from '../../../src/dead-letters.ts';
import { type Post, postOffice } from '../../support/letters.ts';
import { holdTime, releaseTime } from '../time.ts';

let broker: ReturnType<typeof createMemoryBroker>;
let post: Post;
let place: DeadQueue;

// Nothing here is ended by a silence, or by a deadline.
beforeEach(async () => {
  holdTime();
  broker = createMemoryBroker();
  await broker.connect({ timeout: 1_000 });
  post = postOffice(broker, '');
  place = { broker, names: post.names, queue: 'mail' };
  await post.declare();
});
afterEach(releaseTime);

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `job-${index}`);

/** Calls `then` when the letter of this number has been done. */
const atLetter = (count: number, then: () => void) => {
  let done = 0;
  return () => void (++done === count && then());
};

/** A broker that cannot publish some messages. */
function refusing(isRefused: (id: string | undefined) => boolean): Broker {
  return {
    status: broker.status,
    connect: (options) => broker.connect(options),
    subscribe: (queue, options) => broker.subscribe(queue, options),
    admin: (use) => broker.admin(use),
    close: (timeout) => broker.close(timeout),
    on: (event, listener) => broker.on(event, listener),
    publish: (publication, options) =>
      isRefused(publication.properties.messageId)
        ? Promise.reject(new PayloadInvalidError('its headers cannot be written'))
        : broker.publish(publication, options),
  };
}

describe('a connection that goes half-way', () => {
  it('ends a replay, and every letter is in one of the queues', async () => {
    await post.buryJobs(...numbered(8));
    const replay = replayDeadLetters(
      place,
      { all: true },
      { onDone: atLetter(3, () => broker.disconnect('consuming')) },
    );
    await expect(replay).rejects.toThrow(AdminError);
    await expect(replay).rejects.toMatchObject({ failure: 'unavailable' });
    broker.reconnect();
    const [work, dead] = [await post.ids('mail'), await post.ids('mail.dead')];
    expect(new Set([...work, ...dead])).toEqual(new Set(numbered(8)));
    expect(work.length + dead.length).toBeLessThanOrEqual(9);
  });

  it('ends a discard, and what was not done is there', async () => {
    await post.buryJobs(...numbered(8));
    const discard = discardDeadLetters(
      place,
      { all: true },
      { onDone: atLetter(3, () => broker.interrupt('mail.dead')) },
    );
    await expect(discard).rejects.toMatchObject({ failure: 'unavailable' });
    expect(await post.ids('mail.dead')).toEqual(expect.arrayContaining(numbered(8).slice(4)));
  });
});

describe('a letter that cannot be sent', () => {
  it('stays, and the others go', async () => {
    await post.buryJobs(...numbered(6));
    const done: DeadLetter[] = [];
    const { failed } = await replayDeadLetters(
      { ...place, broker: refusing((id) => id === 'job-2') },
      { all: true },
      { onDone: (letter) => done.push(letter) },
    );
    expect(failed).toMatchObject([{ letter: { id: 'job-2' }, error: { code: 'WARREN_PAYLOAD_INVALID' } }]);
    expect(done).toHaveLength(5);
    expect(await post.ids('mail.dead')).toEqual(['job-2']);
    expect(await post.ids('mail')).toEqual(numbered(6).filter((id) => id !== 'job-2'));
  });

  it('ends it after ten of the kind', async () => {
    await post.buryJobs(...numbered(30));
    const handled = await replayDeadLetters({ ...place, broker: refusing(() => true) }, { all: true });
    expect([handled.failed.length, handled.unseen]).toEqual([10, 20]);
    expect((await post.ids('mail.dead')).sort()).toEqual(numbered(30).sort());
  });
});

describe('a queue that is not there', () => {
  it.each<[string, (place: DeadQueue) => Promise<unknown>]>([
    ['listing', (nowhere) => listDeadLetters(nowhere, 10)],
    ['showing', (nowhere) => showDeadLetters(nowhere, { ids: ['job-1'] }, 10)],
    ['replaying', (nowhere) => replayDeadLetters(nowhere, { all: true })],
    ['discarding', (nowhere) => discardDeadLetters(nowhere, { all: true })],
  ])('is told when %s', async (_, deed) => {
    await expect(deed({ ...place, queue: 'nowhere' })).rejects.toMatchObject({ failure: 'missing' });
  });
});
