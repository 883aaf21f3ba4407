/**
 * The children of one kind. Each runs one job at a time, so that it is always known whose fault a death is;
 * between jobs they are kept, because starting one costs more than most jobs.
 */

import { recordError } from '../core/error-record.ts';
import { ClosedError, WarrenError } from '../core/errors.ts';
import type { Events } from '../core/events.ts';
import type { Child, ChildKind, Death, MakeChild, Watcher } from './child.ts';
import type { Birth, Down, PublishOrder, Told, Up } from './protocol.ts';
import { fromWire, toWire } from './wire-error.ts';

/** A child without work is ended after this long (ms). */
const IDLE_MS = 60_000;
/** How long (ms) one may take until it has imported all job classes. */
const BOOT_MS = 60_000;

export interface PoolOptions {
  kind: ChildKind;
  make: MakeChild;
  birth: Birth;
  /** One ended by itself while it ran nothing, or did not come up. */
  onFailure(failure: Events['child.failed']): void;
  /** What its jobs say, also of one that has ended there. */
  onTold(message: Told): void;
}

/** Whoever has a job in a child. */
export interface Tenant {
  /** Of its run. */
  readonly nr: number;
  onMessage(message: RunMessage): void;
  onDeath(death: Death): void;
}

/** What is said of the run that a child was given last. */
export type RunMessage = Exclude<Up, Told | { kind: 'ready' | 'unable' }>;

/** No child came up: nothing is known of the job. */
export class ChildStartError extends WarrenError {
  readonly code = 'WARREN_CHILD_START';
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #all = new Set<Place>();
  /** Last in, first out: the longest idle may go. */
  readonly #idle: Place[] = [];
  #spareUntil = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get kind(): ChildKind {
    return this.#options.kind;
  }

  /** How many children there are. */
  get size(): number {
    return this.#all.size;
  }

  /** A child for one job. `fresh`: one in which nothing ran yet. Rejects with ChildStartError. */
  async rent(tenant: Tenant, { fresh = false } = {}): Promise<Place> {
    const place = this.#nextIdle(fresh) ?? this.#add();
    place.rented(tenant);
    this.#keepSpare();
    await place.ready;
    return place;
  }

  /** Ends all: idle ones by themselves, the others at once. */
  close(): void {
    this.#closed = true;
    for (const place of this.#all) place.end();
  }

  /** Without waiting for anything: the process ends. */
  killAll(): void {
    for (const place of this.#all) place.kill();
  }

  /** One that leaves, or was killed, is among them until its end is seen. */
  #nextIdle(fresh: boolean): Place | undefined {
    const fits = (place: Place) => !place.ending && (!fresh || place.tenants === 0);
    const index = this.#idle.findLastIndex(fits);
    return index < 0 ? undefined : this.#idle.splice(index, 1)[0];
  }

  #add(): Place {
    const place = new Place(this.#options, {
      free: () => this.#freed(place),
      gone: (wasRented) => this.#gone(place, wasRented),
    });
    this.#all.add(place);
    return place;
  }

  #freed(place: Place): void {
    if (this.#closed) place.end();
    else this.#idle.push(place);
  }

  /** Who went down at work is likely to be followed: for a while one is kept ready, so that no job waits for its start. */
  #keepSpare(): void {
    if (this.#idle.length === 0 && performance.now() < this.#spareUntil) this.#add().giveBack();
  }

  #gone(place: Place, wasRented: boolean): void {
    this.#all.delete(place);
    const index = this.#idle.indexOf(place);
    if (index >= 0) this.#idle.splice(index, 1);
    if (this.#closed || !wasRented) return;
    this.#spareUntil = performance.now() + IDLE_MS;
    this.#keepSpare();
  }
}

interface Owner {
  free(): void;
  gone(wasRented: boolean): void;
}

/** One child, and whom it works for. */
export class Place {
  /** Resolves when its classes are imported. @throws ChildStartError */
  readonly ready: Promise<void>;
  /** The names of the jobs that it knows. */
  jobs: readonly string[] = [];
  readonly #child: Child;
  readonly #owner: Owner;
  readonly #options: PoolOptions;
  #tenant: Tenant | undefined;
  #idling: NodeJS.Timeout | undefined;
  #settle: { up(): void; down(error: Error): void } | undefined;
  #ending = false;
  #tenants = 0;

  constructor(options: PoolOptions, owner: Owner) {
    this.#options = options;
    this.#owner = owner;
    this.ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#unable(`it was not ready within ${BOOT_MS} ms`), BOOT_MS);
      this.#settle = {
        up: () => {
          clearTimeout(timer);
          resolve();
        },
        down: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
    this.ready.catch(() => {});
    this.#child = made(options, {
      onMessage: (message) => this.#hear(message),
      onDeath: (death) => this.#died(death),
    });
  }

  /** Nobody is to run here any more; its death may be yet to come. */
  get ending(): boolean {
    return this.#ending;
  }

  /** How many it has had. */
  get tenants(): number {
    return this.#tenants;
  }

  rented(tenant: Tenant): void {
    clearTimeout(this.#idling);
    this.#tenants += 1;
    this.#tenant = tenant;
  }

  post(message: Down): void {
    this.#child.post(message);
  }

  /** The job has ended, and nothing of it goes on here. */
  giveBack(): void {
    this.#tenant = undefined;
    if (this.#ending) return;
    this.#idling = setTimeout(() => this.end(), IDLE_MS).unref();
    this.#owner.free();
  }

  /** Nobody is to run here again. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    clearTimeout(this.#idling);
    if (this.#tenant) this.kill();
    else this.#child.leave();
  }

  /** Its tenant hears of the death as of any other. */
  kill(): void {
    this.#ending = true;
    this.#child.kill();
  }

  #hear(message: Up): void {
    if (message.kind === 'ready') {
      this.jobs = message.jobs;
      this.#settle?.up();
      this.#settle = undefined;
    } else if (message.kind === 'unable') this.#unable(message.error.message, fromWire(message.error));
    else if (isTold(message)) this.#options.onTold(message);
    else if (message.kind === 'publish' && message.run !== this.#tenant?.nr) this.#refuse(message);
    else this.#tenant?.onMessage(message);
  }

  /** Nobody is left to publish for; without an answer its promise would never settle. */
  #refuse({ call }: PublishOrder): void {
    const error = toWire(new ClosedError('The job that enqueues this has ended: await what it enqueues.'));
    this.post({ kind: 'published', call, error });
  }

  #unable(why: string, cause?: Error): void {
    this.#fail(
      new ChildStartError(`a ${this.#options.kind} for isolated jobs did not come up: ${why}`, { cause }),
    );
    this.kill();
  }

  #fail(error: Error, { exitCode, signal }: Pick<Death, 'exitCode' | 'signal'> = NO_EXIT): void {
    if (!this.#settle) return;
    this.#settle.down(error);
    this.#settle = undefined;
    this.#options.onFailure({ kind: this.#options.kind, exitCode, signal, error });
  }

  #died(death: Death): void {
    clearTimeout(this.#idling);
    const wasRented = this.#tenant !== undefined;
    const booting = this.#settle !== undefined;
    if (booting && !this.#ending)
      this.#fail(
        new ChildStartError(
          `a ${this.#options.kind} for isolated jobs ended at its start (${death.signal ?? `exit code ${death.exitCode}`}): ${death.stderr || 'it said nothing'}`,
        ),
        death,
      );
    else if (booting) this.#settle?.down(new ChildStartError('it was ended'));
    else if (!wasRented && !this.#ending)
      this.#options.onFailure({ kind: this.#options.kind, ...shown(death) });
    this.#owner.gone(wasRented && !booting);
    if (!booting) this.#tenant?.onDeath(death);
  }
}

/** A system without memory or threads left may refuse with a throw: then it is one that died at once. */
function made({ kind, make, birth }: PoolOptions, watcher: Watcher): Child {
  try {
    return make(birth, watcher);
  } catch (error) {
    const death: Death = { ...NO_EXIT, stderr: recordError(error).message };
    setImmediate(() => watcher.onDeath(death));
    return { kind, post() {}, kill() {}, leave() {} };
  }
}

function isTold(message: Exclude<Up, { kind: 'ready' | 'unable' }>): message is Told {
  return TOLD.has(message.kind);
}

const TOLD: ReadonlySet<string> = new Set<Told['kind']>([
  'log',
  'progress',
  'enqueued',
  'publish-failed',
  'stray',
]);

const NO_EXIT = { exitCode: null, signal: null };

function shown({ exitCode, signal }: Death) {
  return { exitCode, signal };
}
