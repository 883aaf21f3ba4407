/** Child processes of a worker, as src/isolate/ has them: they start late, run one job each, and die with it. */
import type { Delivery } from '../../src/broker/broker.ts';
import { JobCrashedError } from '../../src/core/errors.ts';
import type { JobHeaders } from '../../src/core/headers.ts';
import type { RunResult } from '../../src/core/outcome.ts';
import type { Registration, Registry } from '../../src/core/registry.ts';
import type { About } from '../../src/isolate/isolated-run.ts';
import { Seats } from '../../src/isolate/seats.ts';
import { Attempt, type AttemptResources, WorkerStoppingError } from '../../src/run/attempt.ts';
import { decode } from '../../src/run/decode.ts';
import type { ChildRun, OnEnd } from '../../src/run/run.ts';
import type { Random } from './random.ts';

const MOST_SUSPECTS = 2;

export interface ChildrenResources {
  registry: Registry;
  random: Random;
  resources: AttemptResources;
}

export class Children {
  readonly seats = new Seats(MOST_SUSPECTS);
  readonly #it: ChildrenResources;
  readonly #suspects = new Set<Child>();

  constructor(it: ChildrenResources) {
    this.#it = it;
  }

  run(delivery: Delivery, about: About, { probation }: { probation: boolean }): Child {
    const child = new Child(delivery, about, this.#it);
    if (probation) this.#suspect(child);
    return child;
  }

  #suspect(child: Child): void {
    this.#suspects.add(child);
    child.whenEnded(() => void this.#suspects.delete(child));
    if (this.#suspects.size > MOST_SUSPECTS) throw new Error('more suspects than seats');
  }
}

/** By what runs in it. */
const children = new WeakMap<object, Child>();

/** Undefined for an attempt that runs inline. */
export function childOf(attempt: object): Child | undefined {
  return children.get(attempt);
}

export class Child implements ChildRun {
  readonly id: string;
  readonly registration: Registration;
  readonly headers: JobHeaders;
  delivery: Delivery;
  readonly #about: About;
  readonly #it: ChildrenResources;
  readonly #bornAt = performance.now();
  #attempt: Attempt | undefined;
  #onEnd: OnEnd | undefined;
  readonly #whenEnded: (() => void)[] = [];

  constructor(delivery: Delivery, about: About, it: ChildrenResources) {
    this.delivery = delivery;
    this.id = about.id;
    this.registration = about.registration;
    this.headers = about.headers;
    this.#about = about;
    this.#it = it;
  }

  get durationMs(): number {
    return performance.now() - this.#bornAt;
  }
  get ended(): boolean {
    return this.#onEnd === undefined;
  }
  get begun(): boolean {
    return this.#attempt !== undefined;
  }

  start(onBegan: () => void, onEnd: OnEnd): void {
    const { random } = this.#it;
    this.#onEnd = onEnd;
    // Now and then all children are taken, or one has to be started.
    const wait = random.chance(0.3) ? random.between(100, 2000) : random.between(0, 5);
    setTimeout(() => this.#begin(onBegan), wait);
  }

  #begin(onBegan: () => void): void {
    if (this.ended) return;
    const decoded = decode(this.delivery, this.#it.registry);
    if (decoded instanceof Promise) throw new Error('no payload of a history is checked');
    if (!decoded.ok) {
      this.#later({ kind: 'unfit', reason: decoded.reason, error: decoded.error });
      return;
    }
    const attempt = new Attempt(this.delivery, this.#about, this.#it.resources);
    this.#attempt = attempt;
    children.set(attempt, this);
    onBegan();
    attempt.start(decoded.payload, (_, result) => this.#later(result));
  }

  /** What it says takes a while. */
  #later(result: RunResult): void {
    setTimeout(() => this.end(result), this.#it.random.between(0, 5));
  }

  abort(reason: Error): void {
    if (this.#attempt) this.#attempt.abort(reason);
    else if (reason instanceof WorkerStoppingError) this.end({ kind: 'released' });
  }

  whenEnded(call: () => void): void {
    this.#whenEnded.push(call);
  }

  end(result: RunResult): void {
    const onEnd = this.#onEnd;
    if (!onEnd) return;
    this.#onEnd = undefined;
    for (const call of this.#whenEnded) call();
    onEnd(this, result);
  }

  /** The job took it down. */
  die(): void {
    const error = new JobCrashedError('its process ended', { exitCode: 1, signal: null, stderr: '' });
    this.end({ kind: 'crashed', error, crashes: this.headers.crashes, most: this.registration.maxCrashes });
  }
}
