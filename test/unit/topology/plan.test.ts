import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { exponential, type RetryOptions } from '../../../src/core/backoff.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { Registry } from '../../../src/core/registry.ts';
import { Job, type JobClass } from '../../../src/job.ts';
import { rungFor, rungsOf } from '../../../topology/delays.ts';
import { namesFor } from '../../../topology/names.ts';
import { planTopology } from '../../../topology/plan.ts';

const plan = (queues: string[], delays: number[] = [], namespace?: string) =>
  planTopology({ names: namesFor(namespace), queues: queues.map((name) => ({ name })), delays });

const LIMIT = 1_000_000_000;
const KEEPING = { 'x-queue-type': 'quorum', 'x-delivery-limit': LIMIT };

/** The contract's table, for one work queue and one delay. Change it there first. */
const MAIL = {
  exchanges: [
    { name: 'jobs', type: 'direct', arguments: {} },
    { name: 'jobs.unrouted', type: 'fanout', arguments: {} },
    { name: 'jobs.due', type: 'direct', arguments: { 'alternate-exchange': 'jobs.unrouted' } },
    { name: 'jobs.dead', type: 'direct', arguments: {} },
    { name: 'delayed-3s', type: 'fanout', arguments: {} },
  ],
  queues: [
    { name: 'unrouted', arguments: KEEPING },
    { name: 'mail.dead', arguments: KEEPING },
    {
      name: 'mail',
      arguments: {
        'x-queue-type': 'quorum',
        'x-dead-letter-exchange': 'jobs.dead',
        'x-dead-letter-routing-key': 'mail',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
        'x-delivery-limit': LIMIT,
      },
    },
    {
      name: 'delayed-3s',
      arguments: {
        'x-queue-type': 'quorum',
        'x-message-ttl': 3000,
        'x-dead-letter-exchange': 'jobs.due',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      },
    },
  ],
  bindings: [
    { exchange: 'jobs.unrouted', queue: 'unrouted', routingKey: '' },
    { exchange: 'jobs.dead', queue: 'mail.dead', routingKey: 'mail' },
    { exchange: 'jobs.due', queue: 'mail', routingKey: 'mail' },
    { exchange: 'jobs', queue: 'mail', routingKey: 'mail' },
    { exchange: 'delayed-3s', queue: 'delayed-3s', routingKey: '' },
  ],
};

describe('the plan', () => {
  it('has exactly the names and arguments of the contract', () => {
    expect(plan(['mail'], [3000])).toEqual(MAIL);
  });

  it('puts the namespace in front of every name, routing keys and arguments too', () => {
    const acme = JSON.stringify(plan(['mail'], [3000], 'acme'));
    const bare = JSON.stringify(MAIL).replace(/"(jobs|unrouted|mail|delayed-)/g, '"acme.$1');
    expect(JSON.parse(acme)).toEqual(JSON.parse(bare));
  });

  it('leaves out of a classic queue what classic cannot do; its dead queue is quorum all the same', () => {
    const { queues } = planTopology({
      names: namesFor(),
      queues: [{ name: 'fast', type: 'classic' }],
      delays: [],
    });
    expect(queues).toEqual([
      { name: 'unrouted', arguments: KEEPING },
      { name: 'fast.dead', arguments: KEEPING },
      {
        name: 'fast',
        arguments: {
          'x-queue-type': 'classic',
          'x-dead-letter-exchange': 'jobs.dead',
          'x-dead-letter-routing-key': 'fast',
        },
      },
    ]);
  });

  it('stands without queues and delays too, for a process that only enqueues by name', () => {
    expect(plan([]).queues).toEqual([{ name: 'unrouted', arguments: KEEPING }]);
  });

  it('names every exchange that something dead-letters to, before the queue that does', () => {
    const { exchanges, queues } = plan(['mail', 'report'], [1, 2]);
    const names = exchanges.map(({ name }) => name);
    for (const { arguments: said } of queues)
      if (said['x-dead-letter-exchange']) expect(names).toContain(said['x-dead-letter-exchange']);
  });

  it('never says what loses messages', () => {
    const said = plan(['mail', 'report'], [1, 1e6]).queues.flatMap((queue) => Object.keys(queue.arguments));
    for (const forbidden of ['x-expires', 'x-max-length', 'x-max-length-bytes', 'x-queue-mode'])
      expect(said).not.toContain(forbidden);
  });

  it('binds each queue and no other, to exchanges that are in it', () => {
    const { exchanges, queues, bindings } = plan(['mail', 'report'], [300, 3000]);
    expect(new Set(bindings.map(({ queue }) => queue))).toEqual(new Set(queues.map(({ name }) => name)));
    for (const { exchange } of bindings) expect(exchanges.map(({ name }) => name)).toContain(exchange);
  });

  it('lets jobs in only where dead and due ones have a way out', () => {
    const order = plan(['mail']).bindings.map(({ exchange }) => exchange);
    expect(order).toEqual(['jobs.unrouted', 'jobs.dead', 'jobs.due', 'jobs']);
  });

  it('is the same whatever the order and number of the delays', () => {
    expect(plan(['mail'], [3000, 500, 3000, 0])).toEqual(plan(['mail'], [500, 3000]));
  });

  it('refuses one queue twice, a name it cannot use, and a type there is none of', () => {
    expect(() => plan(['mail', 'mail'])).toThrow("two queues would be called 'mail.dead'");
    expect(() => plan(['mail.dead'])).toThrow(ConfigurationError);
    const strange = [{ name: 'mail', type: 'stream' as 'quorum' }];
    expect(() => planTopology({ names: namesFor(), queues: strange, delays: [] })).toThrow(
      "queue 'mail' cannot be of type 'stream': quorum or classic",
    );
  });
});

describe('rungs and policies', () => {
  it('of the default are delayed-3s, 30s, 5m, 50m, 8h20m, 1d', () => {
    const delays = new Registry([jobWith({})]).delays;
    const rungs = plan(['mail'], delays)
      .exchanges.map(({ name }) => name)
      .slice(4);
    expect(rungs).toEqual([
      'delayed-3s',
      'delayed-30s',
      'delayed-5m',
      'delayed-50m',
      'delayed-8h20m',
      'delayed-1d',
    ]);
  });

  const ms = fc.integer({ min: 1, max: 1e9 });
  const attempts = fc.integer({ min: 1, max: 20 });
  const policies: fc.Arbitrary<RetryOptions> = fc.oneof(
    fc.record({
      attempts,
      backoff: fc
        .record({ first: ms, factor: fc.double({ min: 1, max: 100, noNaN: true }), max: ms })
        .map(exponential),
    }),
    fc.record({
      attempts,
      backoff: fc.array(ms, { minLength: 1, maxLength: 8 }),
      delays: fc.array(ms, { maxLength: 3 }),
    }),
  );

  it('meet: every wait a policy can ask for has its own queue, and no queue is there that none asks for', () => {
    fc.assert(
      fc.property(fc.array(policies, { minLength: 1, maxLength: 4 }), (all) => {
        const registry = new Registry(all.map((retry, index) => jobWith(retry, `Job${index}`)));
        const planned = delaysIn(plan(['mail'], registry.delays));
        const asked = registry.all.flatMap(({ policy }) =>
          Array.from({ length: policy.attempts - 1 }, (_, index) => policy.wait(index + 1, undefined)),
        );
        for (const wait of asked) expect(rungFor(wait, planned)).toBe(wait);
        // What a job of one attempt waits on after a crash, and what a job declares for its snoozes, is asked for too.
        const spoken = registry.all.flatMap(({ policy }) => [policy.wait(1, undefined), ...policy.delays]);
        expect(planned).toEqual(rungsOf([...asked, ...spoken]));
      }),
    );
  });

  it('meet: whatever a function returns, it never waits less than that on a rung, or waits on the longest', () => {
    fc.assert(
      fc.property(
        fc.array(ms, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 0, max: 1e9 }),
        (delays, returned) => {
          const { policy } = new Registry([jobWith({ delays, backoff: () => returned })])
            .all[0] as never as RegistrationLike;
          const planned = delaysIn(plan(['mail'], [...policy.delays]));
          const rung = rungFor(policy.wait(1, undefined), planned) as number;
          expect(rung >= returned || rung === Math.max(...planned)).toBe(true);
        },
      ),
    );
  });
});

interface RegistrationLike {
  policy: { delays: readonly number[]; wait(attempt: number, error: unknown): number };
}

function jobWith(retry: RetryOptions, jobName = 'Mail'): JobClass {
  return class extends Job {
    static override jobName = jobName;
    static override retry = retry;
    perform() {}
  };
}

/** The delays that have a queue, shortest first. */
function delaysIn({ queues }: ReturnType<typeof plan>): number[] {
  return queues.map((queue) => queue.arguments['x-message-ttl'] as number).filter((ttl) => ttl !== undefined);
}
