/** The oracle of the fault suite must be able to say no: a hand-made ledger, whole and then tampered with. */
import { describe, expect, it } from '@jest/globals';
import type { Entry } from '../support/ledger.ts';
import { type Facts, judge, runOf } from './oracle.ts';

const [OLD, NEW] = [11, 22];
const FAULT_OVER = 5000;

let clock = 0;
const entry = (what: Entry['what'], id: string, attempt = 1, pid = NEW): Entry => ({
  what,
  id,
  attempt,
  pid,
  at: ++clock,
});
const plan = (failures = 0, enqueuedAt = 100) => ({ failures, enqueuedAt });

/** `a` runs, `b` fails once, `c` fails three times and dies. */
function green(change: Partial<Facts> = {}): Facts {
  clock = 0;
  return {
    attempts: 3,
    maxCrashes: 3,
    accepted: new Map([
      ['a', plan()],
      ['b', plan(1)],
      ['c', plan(3)],
    ]),
    refused: [],
    entries: [
      ...[entry('start', 'a'), entry('finish', 'a')],
      ...[entry('start', 'b'), entry('fail', 'b'), entry('start', 'b', 2), entry('finish', 'b', 2)],
      ...[1, 2, 3].flatMap((attempt) => [entry('start', 'c', attempt), entry('fail', 'c', attempt)]),
    ],
    redelivered: new Map(),
    waiting: new Set(),
    parked: new Set(),
    dead: new Set(['c']),
    deletions: [],
    healedAt: FAULT_OVER,
    consumersMs: 800,
    healMs: 1200,
    killed: new Set(),
    exits: [],
    notes: [],
    ...change,
  };
}

const more = (...entries: Entry[]) => ({ entries: [...green().entries, ...entries] });
const problems = (change: Partial<Facts>) => judge(green(change)).problems;

describe('the oracle of the fault suite', () => {
  it('passes a run in which everything is as promised', () => {
    expect(judge(green())).toEqual({
      ...{ accepted: 3, refused: 0, done: 2, dead: 1, waiting: 0, parked: 0, deleted: 0, lost: 0 },
      ...{ startedTwice: 0, finishedTwice: 0, healSeconds: 1.2, problems: [] },
    });
  });

  it('sees a lost job', () => {
    const accepted = new Map([...green().accepted, ['lost', plan()] as const]);
    expect(judge(green({ accepted }))).toMatchObject({ lost: 1, problems: ['1 lost: lost'] });
    expect(problems({ dead: new Set() })).toContain('1 lost: c');
  });

  it('sees a job that still waits when everything should be over', () => {
    const accepted = new Map([...green().accepted, ['late', plan()] as const]);
    expect(judge(green({ accepted, waiting: new Set(['late']) }))).toMatchObject({
      lost: 0,
      waiting: 1,
      problems: ['1 still waiting after the drain: late'],
    });
  });

  it('sees a double that nothing explains, and counts one that the fault explains', () => {
    const again = more(entry('start', 'a', 1, OLD), entry('finish', 'a', 1, OLD));
    expect(judge(green(again))).toMatchObject({
      startedTwice: 1,
      finishedTwice: 1,
      problems: ['1 run twice without a cause: a'],
    });
    expect(problems({ ...again, cause: 'lost connection' })).toEqual([]);
    const early = { healedAt: 0, accepted: new Map([...green().accepted, ['a', plan(0, 1)]] as const) };
    expect(problems({ ...again, cause: 'lost connection', ...early })).toEqual([
      '1 run twice without a cause: a',
    ]);
  });

  it('takes a crash for the cause of what ran in a process that was killed, and of nothing else', () => {
    const again = more(entry('start', 'a', 1, OLD), entry('finish', 'a', 1, OLD));
    expect(problems({ ...again, cause: 'crash', killed: new Set([NEW]) })).toEqual([]);
    expect(problems({ ...again, cause: 'crash', killed: new Set([OLD]) })).toHaveLength(1);
  });

  it('takes two copies of a retry for what they are: one crash, between its confirm and its ack', () => {
    const copies = more(
      ...[entry('start', 'b', 1, OLD), entry('fail', 'b', 1, OLD)],
      ...[entry('start', 'b', 2, OLD), entry('finish', 'b', 2, OLD)],
    );
    expect(problems({ ...copies, cause: 'crash', killed: new Set([NEW]) })).toEqual([]);
    expect(problems(copies)).toHaveLength(1);
  });

  it('takes what was published during the fault for published twice, also when it runs after it', () => {
    const copy = more(entry('start', 'b', 2), entry('finish', 'b', 2));
    const [failure] = green().entries.filter(({ id, what }) => id === 'b' && what === 'fail');
    const healedAt = failure?.at ?? 0;
    expect(problems({ ...copy, cause: 'lost connection', healedAt })).toEqual([]);
    expect(problems({ ...copy, cause: 'lost connection', healedAt: healedAt - 1 })).toHaveLength(1);
  });

  it('sees a run that comes back to the process that has finished it', () => {
    const again = entry('start', 'a');
    const marks = (mark: boolean) => new Map([[runOf(again), [false, mark]]]);
    const facts = { ...more(again), cause: 'lost connection' } as const;
    expect(problems({ ...facts, redelivered: marks(true) })).toEqual([
      '1 run twice by one process that knew of it: a',
    ]);
    // Published twice, since its confirm was lost.
    expect(problems({ ...facts, redelivered: marks(false) })).toEqual([]);
  });

  it('sees a spent attempt', () => {
    const spent = green().entries.map((one) => (one.id === 'a' ? { ...one, attempt: 2 } : one));
    expect(problems({ entries: spent })).toEqual(['1 at an attempt that no failure led to: a']);
  });

  it('sees a job that died without having failed as often as it may', () => {
    const entries = green().entries.filter(({ id, attempt }) => id !== 'c' || attempt < 3);
    expect(problems({ entries })).toEqual(['1 dead without having failed so often: c']);
    expect(problems({ dead: new Set(['b', 'c']) })).toHaveLength(1);
  });

  it('takes a job that takes its process down for what it is, as often as it was told to', () => {
    const starts = [1, 2, 3].map(() => entry('start', 'p'));
    const poison = (crashes: number) => ({
      accepted: new Map([...green().accepted, ['p', { ...plan(), crashes }] as const]),
      ...more(...starts),
      dead: new Set(['c', 'p']),
    });
    expect(problems(poison(3))).toEqual([]);
    expect(problems(poison(1))).toHaveLength(2);
    expect(problems({ ...poison(3), ...more(...starts.slice(1)) })).toEqual([
      '1 dead without having failed so often: p',
    ]);
  });

  it('takes what was in a deleted queue for deleted, up to as many as were in it', () => {
    const accepted = new Map([...green().accepted, ['gone', plan(0, 100)], ['after', plan(0, 300)]] as const);
    const deletions = [{ at: 200, messages: 1 }];
    expect(judge(green({ accepted, deletions }))).toMatchObject({
      deleted: 1,
      lost: 1,
      problems: ['1 lost: after'],
    });
    expect(problems({ accepted, deletions, parked: new Set(['after']) })).toEqual([
      '1 parked, and no worker took it home: after',
    ]);
    expect(problems({ accepted, deletions: [{ at: 400, messages: 1 }] })).toEqual([
      '2 gone, but the operator deleted only 1',
    ]);
  });

  it('sees an enqueue that failed without a type, or came too late', () => {
    const refusal = { id: 'x', reason: 'deadline', lateMs: 10 };
    expect(problems({ refused: [refusal] })).toEqual([]);
    expect(problems({ refused: [{ ...refusal, reason: undefined }] })).toHaveLength(1);
    expect(problems({ refused: [{ ...refusal, lateMs: 5000 }] })).toHaveLength(1);
    // Its own process stood still for so long.
    expect(problems({ refused: [{ ...refusal, lateMs: 5000 }], stalledMs: 4000 })).toEqual([]);
    expect(problems({ refused: [{ ...refusal, lateMs: 5000 }], stalledMs: 3000 })).toHaveLength(1);
  });

  it('sees consumers that are missing or late, and work that does not go on', () => {
    expect(problems({ consumersMs: undefined })).toEqual(['consumers are missing']);
    expect(problems({ consumersMs: 12_000 })).toEqual(['consumers were back only after 12.0 s']);
    expect(problems({ consumersMs: 12_000, mostMsWithoutConsumers: 15_000 })).toEqual([]);
    expect(problems({ healMs: undefined })).toHaveLength(1);
  });

  it('sees an exit nobody asked for, and whatever else went wrong', () => {
    expect(problems({ exits: ['worker 1: code 1'], notes: ['waited in vain'] })).toEqual([
      'unexpected exit: worker 1: code 1',
      'waited in vain',
    ]);
  });
});
