/** What a run is judged by. Pure: facts in, verdict out; the product's own word counts for nothing. */
import type { Entry } from '../support/ledger.ts';

/** Why a job may run twice. Where a fault has none of these, nothing may. */
export type Cause = 'crash' | 'lost connection' | 'forced stop' | 'ack timeout';

/** What a job was told to do, and when its enqueue began (ms since 1970). */
export interface Plan {
  failures: number;
  /** So often it takes its process down. */
  crashes?: number;
  enqueuedAt: number;
}

export interface Refusal {
  id: string;
  /** The `reason` of the PublishError; `undefined` when it was none. */
  reason: string | undefined;
  /** By how much it came after its deadline. */
  lateMs: number;
}

/** A queue that an operator deleted: until when, and how many messages were in it or held by workers. */
export interface Deletion {
  at: number;
  messages: number;
}

export interface Facts {
  /** Attempts a job has, and processes it may take down. */
  attempts: number;
  maxCrashes: number;
  accepted: ReadonlyMap<string, Plan>;
  refused: readonly Refusal[];
  entries: readonly Entry[];
  /** For each run, named by `runOf`, in their order: whether the broker handed the message out again for it. */
  redelivered: ReadonlyMap<string, readonly boolean[]>;
  /** Ids found in queues at the end; `parked`: those that fell due for a queue that was gone. */
  waiting: ReadonlySet<string>;
  parked: ReadonlySet<string>;
  dead: ReadonlySet<string>;
  cause?: Cause | undefined;
  deletions: readonly Deletion[];
  /** When everything was as it should be again. */
  healedAt: number | undefined;
  /** From the end of the fault until all consumers were there; undefined: never. */
  consumersMs: number | undefined;
  healMs: number | undefined;
  /** How long the consumers may be away; default 10 s, for a machine that has nothing else to do. */
  mostMsWithoutConsumers?: number;
  /** The longest time for which the enqueuing process itself stood still, so that its timers were late. */
  stalledMs?: number;
  /** Processes that the fault killed. */
  killed: ReadonlySet<number>;
  /** Endings that nobody asked for, in words. */
  exits: readonly string[];
  /** What else went wrong while it was played. */
  notes: readonly string[];
}

export interface Verdict {
  accepted: number;
  refused: number;
  done: number;
  dead: number;
  waiting: number;
  /** In the queue `unrouted`: they fell due while their queue was deleted. */
  parked: number;
  /** An operator deleted the queue they were in. */
  deleted: number;
  /** Runs of the same attempt, beyond the first. */
  startedTwice: number;
  finishedTwice: number;
  lost: number;
  /** Seconds until all consumers were there and a job enqueued after the fault was done. */
  healSeconds: number | undefined;
  /** Empty when the run is green. */
  problems: string[];
}

const MOST_MS_WITHOUT_CONSUMERS = 10_000;
/** An enqueue may be this much later than its deadline, and by what its process stood still. */
const LATE_MS = 1500;

export function judge(facts: Facts): Verdict {
  const finishes = countBy(facts.entries, 'finish', ({ id }) => id);
  const fates = fatesOf(facts, finishes);
  const repeats = repeatsOf(facts.entries);
  return {
    accepted: facts.accepted.size,
    refused: facts.refused.length,
    done: fates.done.length,
    dead: fates.dead.length,
    waiting: fates.waiting.length,
    parked: fates.parked.length,
    deleted: fates.deleted.length,
    startedTwice: repeats.length,
    finishedTwice: [...finishes.values()].filter((count) => count > 1).length,
    lost: fates.lost.length,
    healSeconds: facts.healMs === undefined ? undefined : facts.healMs / 1000,
    problems: [
      ...named(fates.lost, 'lost'),
      ...named(fates.waiting, 'still waiting after the drain'),
      ...named(fates.parked, 'parked, and no worker took it home'),
      ...deletedTooMuch(facts, fates.deleted),
      ...named(spentAttempts(facts.entries), 'at an attempt that no failure led to'),
      ...named(wronglyDead(facts), 'dead without having failed so often'),
      ...named(unexplained(facts, repeats), 'run twice without a cause'),
      ...named(twiceInOneProcess(facts), 'run twice by one process that knew of it'),
      ...refusals(facts),
      ...healing(facts),
      ...facts.exits.map((exit) => `unexpected exit: ${exit}`),
      ...facts.notes,
    ],
  };
}

type Fate = 'done' | 'dead' | 'waiting' | 'parked' | 'deleted' | 'lost';

/** Where each accepted job ended. Deleted are those that can have been in the queue when it was deleted. */
function fatesOf(facts: Facts, finishes: ReadonlyMap<string, number>): Record<Fate, string[]> {
  const fates: Record<Fate, string[]> = {
    done: [],
    dead: [],
    waiting: [],
    parked: [],
    deleted: [],
    lost: [],
  };
  const lastDeletion = Math.max(...facts.deletions.map(({ at }) => at), 0);
  for (const [id, { enqueuedAt }] of facts.accepted) {
    if (finishes.has(id)) fates.done.push(id);
    else if (facts.dead.has(id)) fates.dead.push(id);
    else if (facts.waiting.has(id)) fates.waiting.push(id);
    else if (facts.parked.has(id)) fates.parked.push(id);
    else if (enqueuedAt < lastDeletion) fates.deleted.push(id);
    else fates.lost.push(id);
  }
  return fates;
}

function deletedTooMuch({ deletions }: Facts, deleted: readonly string[]): string[] {
  const messages = deletions.reduce((sum, one) => sum + one.messages, 0);
  if (deleted.length <= messages) return [];
  return [`${deleted.length} gone, but the operator deleted only ${messages}`];
}

/** Started at attempt n without a failure at n - 1 before. */
function spentAttempts(entries: readonly Entry[]): string[] {
  const failed = new Set<string>();
  const spent: string[] = [];
  for (const { id, attempt, what } of inOrder(entries)) {
    if (what === 'fail') failed.add(`${id} ${attempt}`);
    if (what === 'start' && attempt > 1 && !failed.has(`${id} ${attempt - 1}`)) spent.push(id);
  }
  return spent;
}

function wronglyDead({ dead, accepted, entries, attempts, maxCrashes }: Facts): string[] {
  const failed = new Set(
    entries.filter(({ what }) => what === 'fail').map(({ id, attempt }) => `${id} ${attempt}`),
  );
  return [...dead].filter((id) => {
    const { failures = attempts, crashes = 0 } = accepted.get(id) ?? {};
    if (crashes >= maxCrashes) return startsOf(entries, id) !== maxCrashes;
    return failures < attempts || !failed.has(`${id} ${attempts}`);
  });
}

function startsOf(entries: readonly Entry[], id: string): number {
  return entries.filter((one) => one.id === id && one.what === 'start').length;
}

interface Repeat {
  id: string;
  attempt: number;
  /** The run before it. */
  before: Entry;
}

function repeatsOf(entries: readonly Entry[]): Repeat[] {
  const last = new Map<string, Entry>();
  const repeats: Repeat[] = [];
  for (const entry of inOrder(entries)) {
    if (entry.what !== 'start') continue;
    const key = `${entry.id} ${entry.attempt}`;
    const before = last.get(key);
    if (before) repeats.push({ id: entry.id, attempt: entry.attempt, before });
    last.set(key, entry);
  }
  return repeats;
}

/**
 * A second run needs a cause: the fault cut the first one off from its ack, or the message was published twice
 * since the fault kept its confirm back. What was doubled before its retry comes back as two copies.
 */
function unexplained(facts: Facts, repeats: readonly Repeat[]): string[] {
  const { cause, killed, healedAt = Number.POSITIVE_INFINITY } = facts;
  const doubled = new Set<string>();
  const wrong: string[] = [];
  for (const { id, attempt, before } of repeats) {
    // It took its own process down.
    if (startsOf(facts.entries, id) <= 1 + (facts.accepted.get(id)?.crashes ?? 0)) continue;
    const since = Math.min(before.at, publishedAt(facts, id, attempt));
    const cutOff = cause === 'crash' ? killed.has(before.pid) : cause !== undefined && since <= healedAt;
    const copies = attempt > 1 && doubled.has(`${id} ${attempt - 1}`);
    if (cutOff || copies) doubled.add(`${id} ${attempt}`);
    else wrong.push(id);
  }
  return wrong;
}

/** When the message of an attempt can first have been sent. */
function publishedAt({ accepted, entries }: Facts, id: string, attempt: number): number {
  if (attempt === 1) return accepted.get(id)?.enqueuedAt ?? 0;
  const failed = (one: Entry) => one.id === id && one.what === 'fail' && one.attempt === attempt - 1;
  return entries.find(failed)?.at ?? 0;
}

export function runOf({ id, attempt, pid }: Pick<Entry, 'id' | 'attempt' | 'pid'>): string {
  return `${id} attempt ${attempt} in ${pid}`;
}

/**
 * A process that has finished a run, or is at it, must not begin it again when its message comes back (promise 3);
 * after a failure it may. A message that is not marked as redelivered is a second one: a publication whose confirm was lost.
 */
function twiceInOneProcess({ entries, redelivered }: Facts): string[] {
  const begun = new Set<string>();
  const times = new Map<string, number>();
  const wrong: string[] = [];
  for (const entry of inOrder(entries)) {
    const run = runOf(entry);
    if (entry.what === 'fail') begun.delete(run);
    if (entry.what !== 'start') continue;
    const time = times.get(run) ?? 0;
    times.set(run, time + 1);
    if (begun.has(run) && redelivered.get(run)?.[time]) wrong.push(entry.id);
    begun.add(run);
  }
  return wrong;
}

function refusals({ refused, stalledMs = 0 }: Facts): string[] {
  return [
    ...named(
      refused.filter(({ reason }) => reason === undefined).map(({ id }) => id),
      'refused with an untyped error',
    ),
    ...named(
      refused
        .filter(({ lateMs }) => lateMs > LATE_MS + stalledMs)
        .map(({ id, lateMs }) => `${id} by ${lateMs} ms`),
      'answered after its deadline',
    ),
  ];
}

function healing(facts: Facts): string[] {
  const { consumersMs, healMs, mostMsWithoutConsumers = MOST_MS_WITHOUT_CONSUMERS } = facts;
  if (consumersMs === undefined) return ['consumers are missing'];
  const problems: string[] = [];
  if (consumersMs > mostMsWithoutConsumers)
    problems.push(`consumers were back only after ${(consumersMs / 1000).toFixed(1)} s`);
  if (healMs === undefined) problems.push('no job enqueued after the fault was done');
  return problems;
}

function inOrder(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => a.at - b.at);
}

function countBy(entries: readonly Entry[], what: Entry['what'], key: (entry: Entry) => string) {
  const counts = new Map<string, number>();
  for (const entry of entries)
    if (entry.what === what) counts.set(key(entry), (counts.get(key(entry)) ?? 0) + 1);
  return counts;
}

function named(ids: readonly string[], what: string): string[] {
  const distinct = [...new Set(ids)];
  if (distinct.length === 0) return [];
  const shown = distinct.slice(0, 5).join(', ');
  return [`${distinct.length} ${what}: ${shown}${distinct.length > 5 ? ', …' : ''}`];
}
