/** What really happened to each job, and the rules that no history may break. */
import type { JobPlan } from './history.ts';
import type { Owner } from './scheduler.ts';

export type Rule =
  | 'accepted-not-kept'
  | 'lost'
  | 'strayed-settlement'
  | 'attempt-without-failure'
  | 'too-many-attempts'
  | 'crash-mark-without-crash'
  | 'poison-run-inline-again'
  | 'tick-twice'
  | 'tick-left-out'
  | 'run-again-after-done-here'
  | 'run-twice-at-once'
  | 'concurrency'
  | 'too-early'
  | 'untyped-rejection'
  | 'past-deadline'
  | 'never-settled'
  | 'not-finished'
  | 'wrong-evidence'
  | 'not-consuming'
  | 'past-grace'
  | 'kept-while-draining'
  | 'unsent-but-said-sent'
  | 'left-behind'
  | 'uncaught'
  | 'no-rest';

export interface Violation {
  rule: Rule;
  what: string;
}

/** One run of `perform`. */
function runName(id: string, attempt: number): string {
  return `${id}, attempt ${attempt}`;
}

export interface Run {
  id: string;
  /** The stored message it came from. */
  copy: string;
  attempt: number;
  owner: Owner;
  over: boolean;
}

interface Entry {
  plan: JobPlan;
  accepted: boolean;
  done: boolean;
  runs: number;
  /** Stored messages it was run from, by attempt: a confirm that got lost doubles one. */
  copies: Map<number, Set<string>>;
  /** When it first failed, by attempt, ms. */
  failures: Map<number, number>;
  /** Children that died of it. */
  deaths: number;
  /** It asked for it once. */
  snoozed: boolean;
  /** When it may run first, ms. */
  notBefore: number;
}

/** That one copy may take down: docs/crashes.md. */
const MOST_WORKERS = 2;

export class Ledger {
  readonly violations: Violation[] = [];
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Set<Run>();
  /** Copies that a process has finished, by process. */
  readonly #doneHere = new Map<Owner, Set<string>>();
  readonly #begunIn = new Map<Owner, Set<string>>();
  /** Workers that went down, by the copy that they ran. */
  readonly #killedBy = new Map<string, number>();
  /** Enqueues that have no answer yet. */
  readonly #open = new Map<string, Owner>();

  break(rule: Rule, what: string): void {
    this.violations.push({ rule, what });
  }

  add(id: string, plan: JobPlan): Entry {
    const known = this.#entries.get(id);
    if (known) return known;
    const entry: Entry = {
      plan,
      accepted: false,
      done: false,
      runs: 0,
      copies: new Map(),
      failures: new Map(),
      deaths: 0,
      snoozed: false,
      notBefore: 0,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  get(id: string): Entry {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`nobody enqueued ${id}`);
    return entry;
  }

  get accepted(): string[] {
    return [...this.#entries].filter(([, { accepted }]) => accepted).map(([id]) => id);
  }

  get runs(): number {
    return [...this.#entries.values()].reduce((sum, { runs }) => sum + runs, 0);
  }

  isDone(id: string): boolean {
    return this.#entries.get(id)?.done === true;
  }

  // --- enqueue ---

  asked(id: string, owner: Owner): void {
    this.#open.set(id, owner);
  }

  answered(id: string): void {
    this.#open.delete(id);
  }

  /** Enqueues of processes that live and have no answer. */
  get unanswered(): string[] {
    return [...this.#open].filter(([, { alive }]) => alive).map(([id]) => id);
  }

  // --- runs ---

  started(run: Run, now: number, { attempts, waits }: { attempts: number; waits: readonly number[] }): void {
    const { id, attempt, copy, owner } = run;
    const entry = this.get(id);
    const where = `${id} (${copy}), attempt ${attempt}, in ${owner.name}`;
    if (now < entry.notBefore) this.break('too-early', `${where}: ${entry.notBefore - now} ms`);
    if (attempt > attempts) this.break('too-many-attempts', where);
    entry.copies.set(attempt, (entry.copies.get(attempt) ?? new Set()).add(copy));
    if (this.#doneHere.get(owner)?.has(copy)) this.break('run-again-after-done-here', where);
    for (const other of this.#running)
      if (other.owner === owner && other.copy === copy && entry.copies.get(attempt)?.size === 1)
        this.break('run-twice-at-once', where);
    if (attempt > 1) this.#checkRetry(entry, attempt, now, waits[attempt - 2] ?? 0, where);
    entry.runs++;
    this.#begunIn.set(owner, (this.#begunIn.get(owner) ?? new Set()).add(runName(id, attempt)));
    this.#running.add(run);
  }

  #checkRetry(entry: Entry, attempt: number, now: number, wait: number, where: string): void {
    const failedAt = entry.failures.get(attempt - 1);
    if (failedAt === undefined) this.break('attempt-without-failure', where);
    else if (now < failedAt + wait)
      this.break('too-early', `${where}: ${now - failedAt} ms after its failure instead of ${wait}`);
  }

  /** Whether this process has begun that attempt, on whichever copy: it may settle it with another that comes back. */
  hasBegun(owner: Owner, id: string, attempt: number): boolean {
    return this.#begunIn.get(owner)?.has(runName(id, attempt)) === true;
  }

  /** The copies that this process has finished. */
  doneIn(owner: Owner): ReadonlySet<string> {
    return this.#doneHere.get(owner) ?? new Set();
  }

  runningIn(owner: Owner): number {
    return [...this.#running].filter((run) => run.owner === owner).length;
  }

  released(id: string, owner: Owner): void {
    for (const run of [...this.#running]) if (run.id === id && run.owner === owner) this.over(run);
  }

  failed(run: Run, now: number): void {
    this.failedAt(run.id, run.attempt, now);
    this.over(run);
  }

  /** The first time counts. */
  failedAt(id: string, attempt: number, now: number): void {
    const { failures } = this.get(id);
    if (!failures.has(attempt)) failures.set(attempt, now);
  }

  /** A child died of it. */
  died({ id }: Run): void {
    this.get(id).deaths++;
  }

  /** It took its worker down: who has done that twice runs in a child from then on. */
  killed({ id, copy }: Run): void {
    const times = (this.#killedBy.get(copy) ?? 0) + 1;
    this.#killedBy.set(copy, times);
    if (times > MOST_WORKERS)
      this.break('poison-run-inline-again', `${id} (${copy}), for the ${times}. time`);
  }

  done(run: Run): void {
    this.get(run.id).done = true;
    const here = this.#doneHere.get(run.owner) ?? new Set();
    this.#doneHere.set(run.owner, here.add(run.copy));
    this.over(run);
  }

  over(run: Run): void {
    run.over = true;
    this.#running.delete(run);
  }
}
