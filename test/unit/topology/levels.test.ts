/** The maths of the levels: a message is led by nothing but what the plan says, as RabbitMQ would. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { topicMatches } from '../../../src/broker/memory/exchange.ts';
import { LEVELS, LONGEST_LEVELS_S, levelRoute, levelSeconds } from '../../../topology/levels.ts';
import { namesFor } from '../../../topology/names.ts';
import { planLevels, planTopology } from '../../../topology/plan.ts';

const names = namesFor('acme');
const plan = planLevels(names);
const seconds = fc.oneof(
  fc.integer({ min: 1, max: LONGEST_LEVELS_S }),
  // Few bits, and the edges: where levels are passed over in one go.
  fc.integer({ min: 0, max: LEVELS - 1 }).map((bit) => 2 ** bit),
  fc.integer({ min: 1, max: LEVELS }).map((bits) => 2 ** bits - 1),
);
const word = fc.stringMatching(/^[\p{L}\p{N}][\p{L}\p{N}_:-]{0,5}$/u);
const queueName = fc.oneof(
  word,
  fc
    .array(fc.oneof(word, fc.constantFrom('0', '1', '')), { minLength: 1, maxLength: 40 })
    .map((words) => `1${words.join('.')}`),
);

/** Every queue that these keys lead to from an exchange, through links; `jobs.due` counts as an end. */
function reached(exchange: string, keys: readonly string[]): string[] {
  if (exchange === names.due) return [exchange];
  const fits = (pattern: string) => keys.some((key) => topicMatches(pattern, key));
  return [
    ...plan.bindings
      .filter((one) => one.exchange === exchange && fits(one.routingKey))
      .map(({ queue }) => queue),
    ...(plan.links ?? [])
      .filter((one) => one.from === exchange && fits(one.routingKey))
      .flatMap(({ to }) => reached(to, keys)),
  ];
}

/** The queues a delay passes, and what they held it for. */
function journey(delay: number, queue: string): { passed: string[]; ms: number; end: string[] } {
  const { keys } = levelRoute(delay);
  const passed: string[] = [];
  let ms = 0;
  let at = reached(names.later, [names.queue(queue), ...keys]);
  while (at.length === 1 && at[0] !== names.due) {
    const spec = plan.queues.find(({ name }) => name === at[0]);
    passed.push(String(at[0]));
    ms += Number(spec?.arguments['x-message-ttl']);
    at = reached(String(spec?.arguments['x-dead-letter-exchange']), [names.queue(queue), ...keys]);
  }
  return { passed, ms, end: at };
}

describe('the levels', () => {
  it('bring every delay to jobs.due once, after exactly the sum of its bits, for a queue of whatever name', () => {
    fc.assert(
      fc.property(seconds, queueName, (delay, queue) => {
        const { passed, ms, end } = journey(delay, queue);
        expect(end).toEqual([names.due]);
        expect(ms).toBe(delay * 1000);
        expect(new Set(passed).size).toBe(passed.length);
      }),
      { numRuns: 500 },
    );
  });

  it('are passed once for each bit that is set, the highest first', () => {
    expect(journey(37, 'mail').passed).toEqual(['acme.schedule-05', 'acme.schedule-02', 'acme.schedule-00']);
    expect(journey(LONGEST_LEVELS_S, 'mail').passed).toHaveLength(28);
    expect(journey(LONGEST_LEVELS_S, 'mail').passed[0]).toBe('acme.schedule-27');
  });

  it('take nothing in that has no bits: it comes back to its publisher', () => {
    fc.assert(
      fc.property(queueName, fc.integer({ min: 0, max: LEVELS - 1 }), (queue, level) => {
        expect(reached(names.level(level), [names.queue(queue)])).toEqual([]);
        expect(reached(names.level(level), [queue])).toEqual([]);
        expect(reached(names.later, [queue])).toEqual([]);
      }),
    );
  });

  it('have keys inside what AMQP holds', () => {
    fc.assert(
      fc.property(seconds, (delay) => {
        const [entry, ...keys] = levelRoute(delay).keys;
        expect(entry).toMatch(/^@[012]\d$/);
        expect(keys.length).toBe(Math.ceil(delay.toString(2).length / 7));
        for (const key of keys) expect(key).toMatch(/^@[0-3](\.[01]){7}$/);
      }),
    );
    const longest = [...(plan.links ?? []), ...plan.bindings].map(({ routingKey }) => routingKey.length);
    expect(Math.max(...longest)).toBeLessThan(255);
  });

  it('are led alike by keys that name all groups, and by the exchange of the highest bit, as other programs may do it', () => {
    const bits = (37).toString(2).padStart(28, '0');
    const all = [3, 2, 1, 0].map((group, at) => [`@${group}`, ...bits.slice(at * 7, at * 7 + 7)].join('.'));
    expect(all.at(-1)).toBe(levelRoute(37).keys[1]);
    expect(reached(names.level(5), all)).toEqual(['acme.schedule-05']);
  });

  it('refuse what is no delay of theirs', () => {
    for (const wrong of [0, -1, 1.5, Number.NaN, LONGEST_LEVELS_S + 1])
      expect(() => levelRoute(wrong)).toThrow(RangeError);
  });

  it('count whole seconds upwards, so that nothing is early', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e6, max: 1e12 }), (ms) => {
        const waited = levelSeconds(ms) * 1000;
        expect(waited >= ms && waited < Math.max(0, ms) + 1000).toBe(true);
      }),
    );
  });
});

describe('the plan', () => {
  it('has the levels of the contract when they are asked for, and only then', () => {
    const wishes = { names: namesFor(), queues: [{ name: 'mail' }], delays: [3000] };
    const [without, within] = [planTopology(wishes), planTopology({ ...wishes, levels: true })];
    expect(JSON.stringify(without)).not.toContain('schedule-');
    expect(
      within.exchanges.slice(without.exchanges.length).map(({ name, type }) => `${name} ${type}`),
    ).toEqual([
      ...Array.from({ length: 28 }, (_, level) => `schedule-${String(level).padStart(2, '0')} topic`),
      'jobs.later direct',
    ]);
    const queues = within.queues.slice(without.queues.length);
    expect(queues).toHaveLength(28);
    expect(queues[5]).toEqual({
      name: 'schedule-05',
      arguments: {
        'x-queue-type': 'quorum',
        'x-message-ttl': 32_000,
        'x-dead-letter-exchange': 'schedule-04',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      },
    });
    expect(queues[0]?.arguments['x-dead-letter-exchange']).toBe('jobs.due');
    expect(queues[27]?.arguments['x-message-ttl']).toBe(134_217_728_000);
  });

  it('names every exchange that a level dead-letters or leads to, before it', () => {
    const order = plan.exchanges.map(({ name }) => name);
    for (const { from, to } of plan.links ?? []) {
      expect(order).toContain(to);
      expect(order.indexOf(to)).toBeLessThan(order.indexOf(from));
    }
    for (const { arguments: said } of plan.queues)
      if (said['x-dead-letter-exchange']) expect(order).toContain(said['x-dead-letter-exchange']);
  });
});
