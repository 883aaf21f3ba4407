import { describe, expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import type { JobHeaders } from '../../../src/core/headers.ts';
import type { Run } from '../../../src/run/run.ts';
import { OwedSettlements, overdue } from '../../../src/run/taken-back.ts';

const attempt = (id: string, durationMs: number, { live = false, ended = false } = {}) =>
  ({ id, durationMs, ended, delivery: { live } }) as Run;

const ids = (attempts: Run[]) => attempts.map(({ id }) => id);

describe('what was taken back', () => {
  it('is late where it ran about as long as the broker waits, and still runs', () => {
    const active = [
      attempt('a', 2_400),
      attempt('b', 1_950),
      attempt('younger', 1_500),
      attempt('held', 9_000, { live: true }),
      attempt('over', 9_000, { ended: true }),
    ];
    for (const known of [true, false]) expect(ids(overdue(active, 2_000, { known }))).toEqual(['a', 'b']);
  });

  it('is the oldest where none is known to be late but one may be: the limit can be another one than we were told', () => {
    const held = attempt('held', 900_000, { live: true });
    const active = [held, attempt('a', 70_000), attempt('b', 65_000)];
    expect(ids(overdue(active, 1_800_000, { known: false }))).toEqual(['a']);
    // Known, it cannot be: the queue was deleted and put back.
    expect(overdue(active, 1_800_000, { known: true })).toEqual([]);
    // No broker has so short a limit: it cancelled for another reason.
    expect(overdue([attempt('a', 50_000)], 1_800_000, { known: false })).toEqual([]);
    expect(overdue([], 1_800_000, { known: false })).toEqual([]);
  });
});

describe('a failure whose message was gone', () => {
  const headers = { attempt: 1, replays: 0, crashes: 0, enqueuedAt: 5 } as JobHeaders;
  const delivery = (body: string) => ({ body: Buffer.from(body) }) as Delivery;
  const owed = (id: string) => ({
    run: { id, headers, delivery: delivery('{}') } as Run,
    outcome: { kind: 'release' } as const,
    info: { id, job: 'Long', queue: 'long', attempt: 1 },
  });

  it('belongs to the message that comes back, once', () => {
    const settlements = new OwedSettlements();
    const failure = owed('one');
    settlements.add(failure);
    expect(settlements.take('one', headers, delivery('{}'))).toBeUndefined(); // nobody told it
    settlements.mayOwe(failure.run);
    settlements.add(failure);
    const back = delivery('{}');
    expect(settlements.take('two', headers, back)).toBeUndefined();
    expect(settlements.take('one', { ...headers, attempt: 2 }, back)).toBeUndefined();
    expect(settlements.take('one', headers, delivery('[]'))).toBeUndefined();
    expect(settlements.take('one', headers, back)).toBe(failure);
    expect(failure.run.delivery).toBe(back);
    expect(settlements.take('one', headers, back)).toBeUndefined();
  });

  it('is forgotten, the oldest first, where too many never come back', () => {
    const settlements = new OwedSettlements();
    for (let job = 0; job <= 1_000; job++) {
      const failure = owed(`job-${job}`);
      settlements.mayOwe(failure.run);
      settlements.add(failure);
    }
    expect(settlements.take('job-0', headers, delivery('{}'))).toBeUndefined();
    expect(settlements.take('job-1', headers, delivery('{}'))).toBeDefined();
  });
});
