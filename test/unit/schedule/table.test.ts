import { describe, expect, it } from '@jest/globals';
import { LATE_MS, type Missed, type Schedule } from '../../../src/core/schedule.ts';
import {
  countedOn,
  type Entry,
  emptyTable,
  isNewer,
  letGo,
  nextSteps,
  ORPHAN_MS,
  type Table,
  takeOver,
} from '../../../src/schedule/table.ts';

/** Ticks every ten seconds. */
function schedule(name: string, missed: Missed = 'once', every = 10_000): Schedule {
  const next = (after: number) => (Math.floor(after / every) + 1) * every;
  return {
    name,
    job: 'Report',
    queue: 'reports',
    payload: null,
    missed,
    rhythm: { expression: `each ${every}`, timeZone: 'UTC', next },
  };
}

const say = { print: ({ job }: Schedule) => job, rhythm: ({ rhythm }: Schedule) => rhythm.expression };
const steps = (table: Table, schedules: Schedule[], now: number) => nextSteps(table, schedules, now, say);

function tableWith(entry: Partial<Entry>): Table {
  return {
    ...emptyTable(),
    entries: { a: { after: 100_000, rhythm: 'each 10000', missed: 0, ...entry } },
  };
}
const armed = { tick: 110_000, copy: 'c', print: 'Report' };

describe('nextSteps', () => {
  it('begins a new schedule now', () => {
    const table = emptyTable();
    const { arm, changed } = steps(table, [schedule('a')], 105_000);
    expect(arm).toMatchObject([{ tick: 110_000 }]);
    expect(changed).toBe(true);
    expect(table.entries.a).toMatchObject({ after: 105_000, missed: 0 });
  });

  it('has nothing to do while the next tick waits', () => {
    const table = tableWith({ armed });
    expect(steps(table, [schedule('a')], 105_000)).toEqual({
      arm: [],
      drop: [],
      skipped: [],
      changed: false,
    });
  });

  it('never goes behind what is dealt with, whatever this clock says', () => {
    const table = tableWith({});
    expect(steps(table, [schedule('a')], 50_000).arm).toMatchObject([{ tick: 110_000 }]);
  });

  it('arms again what would do something else now', () => {
    const table = tableWith({ armed: { ...armed, print: 'Other' } });
    const { arm, drop, changed } = steps(table, [schedule('a')], 105_000);
    expect({ drop, changed, tick: arm[0]?.tick }).toEqual({ drop: ['c'], changed: true, tick: 110_000 });
    expect(table.entries.a?.armed).toBeUndefined();
  });

  it('begins another rhythm now', () => {
    const table = tableWith({ armed });
    const { arm, drop } = steps(table, [schedule('a', 'all', 1_000)], 205_500);
    expect({ drop, tick: arm[0]?.tick }).toEqual({ drop: ['c'], tick: 206_000 });
  });

  it('deals with missed ticks by their policy, also where one of them is armed', () => {
    const now = 150_000 + LATE_MS;
    const skip = tableWith({ armed });
    expect(steps(skip, [schedule('a', 'skip')], now)).toMatchObject({
      drop: ['c'],
      arm: [{ tick: 160_000 }],
      skipped: [{ schedule: 'a', count: 5, to: 150_000 }],
    });
    expect(skip.entries.a).toMatchObject({ missed: 5, after: 150_000 });
    expect(steps(tableWith({ armed }), [schedule('a', 'once')], now)).toMatchObject({
      drop: ['c'],
      arm: [{ tick: 150_000 }],
      skipped: [{ count: 4 }],
    });
    expect(steps(tableWith({ armed }), [schedule('a', 'all')], now)).toMatchObject({ arm: [], drop: [] });
  });

  it('leaves alone what this code does not know, for a day', () => {
    const table = tableWith({ armed });
    expect(steps(table, [], 105_000)).toMatchObject({ drop: [], changed: true });
    expect(steps(table, [], 105_000 + ORPHAN_MS)).toMatchObject({ drop: [], changed: false });
    expect(table.entries.a?.armed).toEqual(armed);
    expect(steps(table, [], 105_001 + ORPHAN_MS)).toMatchObject({ drop: ['c'], changed: true });
    expect(table.entries).toEqual({});
  });

  it('knows it again', () => {
    const table = tableWith({ armed, orphanedAt: 1 });
    expect(steps(table, [schedule('a')], 105_000)).toMatchObject({ drop: [], arm: [], changed: true });
    expect(table.entries.a?.orphanedAt).toBeUndefined();
  });

  it('takes a name such as __proto__ for a name', () => {
    const table = takeOver(JSON.parse(JSON.stringify(emptyTable())), new Set());
    expect(steps(table, [schedule('constructor')], 105_000).arm).toHaveLength(1);
  });
});

describe('takeOver', () => {
  it('takes an armed charge that is gone for let go', () => {
    const { a } = takeOver(tableWith({ armed }), new Set()).entries;
    expect(a).toMatchObject({ after: 110_000, last: 110_000, armed: undefined });
  });

  it('leaves one that is there armed, and changes nothing in the table it was given', () => {
    const table = tableWith({ armed });
    expect(takeOver(table, new Set(['c'])).entries.a).toMatchObject({ after: 100_000, armed });
    takeOver(table, new Set());
    expect(table.entries.a?.armed).toEqual(armed);
  });

  it('still counts on a charge that was let go and is there all the same', () => {
    const table = tableWith({ armed });
    letGo(table.entries.a as Entry, 110_001);
    expect([...countedOn(table)]).toEqual(['c']);
    expect([...countedOn(takeOver(table, new Set(['c'])))]).toEqual(['c']);
    expect([...countedOn(takeOver(table, new Set()))]).toEqual([]);
  });
});

it('forgets what was let go after a minute', () => {
  const entry: Entry = { after: 0, rhythm: '', missed: 0 };
  for (const [index, at] of [0, 30_000, 61_000].entries()) {
    entry.armed = { tick: at, copy: `c${index}`, print: '' };
    letGo(entry, at);
  }
  expect(entry.going?.map(({ copy }) => copy)).toEqual(['c1', 'c2']);
});

it('knows the newer of two tables by term, then by number', () => {
  const table = (term: number, seq: number): Table => ({ ...emptyTable(), term, seq });
  expect(isNewer(table(2, 0), table(1, 9))).toBe(true);
  expect(isNewer(table(1, 2), table(1, 1))).toBe(true);
  expect(isNewer(table(1, 1), table(1, 1))).toBe(false);
});
