import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { checkQueueName, type Names, namesFor } from '../../../topology/names.ts';

function allNames(names: Names): string[] {
  const { jobs, due, dead, unrouted, unroutedQueue } = names;
  return [
    jobs,
    due,
    dead,
    unrouted,
    unroutedQueue,
    names.queue('mail'),
    names.deadQueue('mail'),
    names.delay(3000),
  ];
}

describe('names', () => {
  it('are those of the contract', () => {
    expect(allNames(namesFor())).toEqual([
      'jobs',
      'jobs.due',
      'jobs.dead',
      'jobs.unrouted',
      'unrouted',
      'mail',
      'mail.dead',
      'delayed-3s',
    ]);
  });

  it('all begin with the namespace', () => {
    expect(allNames(namesFor('acme'))).toEqual(allNames(namesFor()).map((name) => `acme.${name}`));
  });

  it.each([
    [500, 'delayed-500ms'],
    [3_000, 'delayed-3s'],
    [60_000, 'delayed-1m'],
    [300_000, 'delayed-5m'],
    [30_000_000, 'delayed-8h20m'],
    [86_400_000, 'delayed-1d'],
  ])('name a delay of %p ms %p', (ms, name) => {
    expect(namesFor().delay(ms)).toBe(name);
  });

  it('never name two delays alike', () => {
    const ms = fc.integer({ min: 1, max: 1e9 });
    fc.assert(fc.property(ms, ms, (a, b) => (namesFor().delay(a) === namesFor().delay(b)) === (a === b)));
  });
});

describe('a namespace', () => {
  it.each(['a', 'acme', 'Team-7_test', 'x'.repeat(60)])('may be %p', (namespace) => {
    expect(namesFor(namespace).queue('mail')).toBe(`${namespace}.mail`);
  });

  it.each(['.', 'a.b', '-a', 'a b', 'é', 'amq.x', 'x'.repeat(61)])('may not be %p', (namespace) => {
    expect(() => namesFor(namespace)).toThrow(ConfigurationError);
  });
});

describe('a queue name', () => {
  it.each([
    'mail',
    'Mail_2',
    'a.b:c-d',
    'größe',
    '邮件',
    '0',
    'jobs.mine',
    'delayed',
    'dead',
    'q'.repeat(180),
  ])('may be %p', (queue) => expect(checkQueueName(queue)).toBe(queue));

  it.each([
    '',
    ' ',
    'two words',
    '.mail',
    '-mail',
    'a/b',
    'a\n',
    '#',
    '*',
    'q'.repeat(181),
    '邮'.repeat(61),
    '\ud800',
  ])('may not be %p', (queue) => expect(() => checkQueueName(queue)).toThrow(ConfigurationError));

  it.each([
    'jobs',
    'unrouted',
    'delayed-3s',
    'delayed-',
    'schedule-00',
    'schedule-27',
    'mail.dead',
    'amq.mail',
  ])('may not be %p, which is ours', (queue) =>
    expect(() => checkQueueName(queue)).toThrow('warren keeps that name for itself'),
  );

  it.each([undefined, null, 5, {}, ['mail']])('may not be %p', (queue) => {
    expect(() => checkQueueName(queue as never)).toThrow(ConfigurationError);
  });

  it('fits into an AMQP short string with the longest namespace and any suffix', () => {
    const names = namesFor('n'.repeat(60));
    expect(Buffer.byteLength(names.deadQueue('q'.repeat(180)))).toBeLessThanOrEqual(255);
  });

  it('never meets another name of ours', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const [one, other] = [a, b].filter(accepted);
        if (one === undefined) return;
        const names = namesFor();
        const taken = [names.unroutedQueue, names.delay(3000), names.deadQueue(other ?? one)];
        expect(taken).not.toContain(names.queue(one));
      }),
    );
  });
});

function accepted(queue: string): boolean {
  try {
    return checkQueueName(queue) === queue;
  } catch {
    return false;
  }
}
