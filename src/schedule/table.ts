/** The leader's table, and what a leader does with it. Pure: it says what is to be done, and the reign does it. */
import { planTicks, type Schedule } from '../core/schedule.ts';

/** The job of a tick that waits in the queue. */
export interface Armed {
  readonly tick: number;
  /** Which message it is. */
  readonly copy: string;
  /** What its schedule was when it was made. */
  readonly print: string;
}

export interface Entry {
  /** Every tick up to this moment is dealt with, ms since 1970. */
  after: number;
  /** Expression and time zone. */
  rhythm: string;
  armed?: Armed | undefined;
  /**
   * Charges that were let go a moment ago. A broker says nothing to a reject, so a later table still counts on them:
   * one that is found in the queue was not let go after all.
   */
  going?: { copy: string; at: number }[] | undefined;
  /** The last tick that was let go. */
  last?: number | undefined;
  /** Ticks that were not run, in all. */
  missed: number;
  /** Since when the leader's code does not know it. */
  orphanedAt?: number | undefined;
}

export interface Leader {
  host: string;
  pid: number;
  /** Since when it leads, ms since 1970. */
  since: number;
}

export interface Table {
  /** One more for each leader. */
  term: number;
  /** One more for each table of a leader. */
  seq: number;
  leader: Leader | null;
  entries: Record<string, Entry>;
}

export function emptyTable(): Table {
  return { term: 0, seq: 0, leader: null, entries: {} };
}

export function isNewer(one: Table, other: Table): boolean {
  return one.term > other.term || (one.term === other.term && one.seq > other.seq);
}

/**
 * What a new leader starts from: an armed charge that is gone was let go, because nothing else takes a charge
 * out of the queue while the table counts on it.
 */
export function takeOver(table: Table, copies: ReadonlySet<string>): Table {
  const taken = structuredClone(table);
  for (const entry of Object.values(taken.entries)) {
    entry.going = entry.going?.filter(({ copy }) => copies.has(copy));
    if (entry.armed && !copies.has(entry.armed.copy)) letGo(entry, 0);
  }
  return taken;
}

/** How long a table counts on charges that were let go. A channel that lives takes much less to pass on a reject. */
const GOING_MS = 60_000;

/** Its armed tick is on its way. */
export function letGo(entry: Entry, now: number): void {
  if (!entry.armed) return;
  const going = (entry.going ?? []).filter(({ at }) => now - at < GOING_MS);
  entry.going = [...going, { copy: entry.armed.copy, at: now }];
  entry.after = Math.max(entry.after, entry.armed.tick);
  entry.last = entry.armed.tick;
  entry.armed = undefined;
}

/** The copies that a table counts on. */
export function countedOn({ entries }: Table): Set<string> {
  const all = Object.values(entries);
  return new Set(
    all.flatMap(({ armed, going = [] }) => [
      ...(armed ? [armed.copy] : []),
      ...going.map(({ copy }) => copy),
    ]),
  );
}

/** How long the table remembers a schedule that the leader's code does not know: a roll-out, or a roll-back. */
export const ORPHAN_MS = 86_400_000;

/** What is to be done about a table at one moment. */
export interface Steps {
  /** Charges to make. */
  arm: { schedule: Schedule; tick: number; print: string }[];
  /** Copies that no longer count. */
  drop: string[];
  skipped: { schedule: string; count: number; to: number }[];
  /** The table is not what it was. */
  changed: boolean;
}

/** Brings the table in line with the schedules of this code. `print` says what a schedule's ticks would do. */
export function nextSteps(
  table: Table,
  schedules: readonly Schedule[],
  now: number,
  say: { print(schedule: Schedule): string; rhythm(schedule: Schedule): string },
): Steps {
  const steps: Steps = { arm: [], drop: [], skipped: [], changed: false };
  for (const schedule of schedules) {
    const entry = entryOf(table, schedule, say.rhythm(schedule), now, steps);
    look(entry, schedule, say.print(schedule), now, steps);
  }
  const known = new Set(schedules.map(({ name }) => name));
  for (const [name, entry] of Object.entries(table.entries))
    if (!known.has(name)) orphan(table, name, entry, now, steps);
  return steps;
}

/** A new schedule begins now, and so does one with another rhythm: what it would have done before was never promised. */
function entryOf(table: Table, { name }: Schedule, rhythm: string, now: number, steps: Steps): Entry {
  const known = Object.hasOwn(table.entries, name) ? table.entries[name] : undefined;
  if (known?.rhythm === rhythm) {
    if (known.orphanedAt !== undefined) steps.changed = true;
    known.orphanedAt = undefined;
    return known;
  }
  const entry: Entry = known ?? { after: now, rhythm, missed: 0 };
  entry.after = Math.max(entry.after, now);
  entry.rhythm = rhythm;
  entry.orphanedAt = undefined;
  table.entries[name] = entry;
  steps.changed = true;
  return entry;
}

function look(entry: Entry, schedule: Schedule, print: string, now: number, steps: Steps): void {
  const { tick, skipped } = planTicks(schedule, entry.after, now);
  if (skipped) {
    entry.after = skipped.to;
    entry.missed += skipped.count;
    steps.skipped.push({ schedule: schedule.name, ...skipped });
    steps.changed = true;
  }
  const { armed } = entry;
  if (armed?.tick === tick && armed?.print === print) return;
  if (armed) {
    steps.drop.push(armed.copy);
    entry.armed = undefined;
    steps.changed = true;
  }
  if (tick !== undefined) steps.arm.push({ schedule, tick, print });
}

function orphan(table: Table, name: string, entry: Entry, now: number, steps: Steps): void {
  if (entry.orphanedAt === undefined) {
    entry.orphanedAt = now;
    steps.changed = true;
  } else if (now - entry.orphanedAt > ORPHAN_MS) {
    if (entry.armed) steps.drop.push(entry.armed.copy);
    delete table.entries[name];
    steps.changed = true;
  }
}
