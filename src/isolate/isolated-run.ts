/** One run of a job in a child: what it asks for is done here, and its end, however it comes, becomes one result. */
import type { Delivery } from '../broker/broker.ts';
import { recordError } from '../core/error-record.ts';
import { JobCrashedError } from '../core/errors.ts';
import type { EventBus } from '../core/events.ts';
import type { JobHeaders } from '../core/headers.ts';
import type { Outcome, RunResult } from '../core/outcome.ts';
import type { Registration } from '../core/registry.ts';
import { JobTimeoutError, WorkerStoppingError } from '../run/attempt.ts';
import { OwnTimer } from '../run/own-timer.ts';
import type { ChildRun, OnEnd } from '../run/run.ts';
import { AckTimeoutError } from '../run/taken-back.ts';
import type { Death } from './child.ts';
import type { Patience } from './patience.ts';
import { ChildStartError, type Place, type Pool, type RunMessage, type Tenant } from './pool.ts';
import type { Down, Ending } from './protocol.ts';
import { Publishing, type PublishResources } from './publishing.ts';
import { fromWire } from './wire-error.ts';

/** Asked so often within that time, and counted: a parent that was itself stopped must not take its children for stuck. */
const PINGS = 6;

/**
 * Children that may die before they take a run, until that is its fault. Of those only in which nothing ran before:
 * what another job left behind may end any number of the others.
 */
const MOST_UNTAKEN = 2;

export interface IsolationResources extends PublishResources {
  bus: EventBus;
}

let runs = 0;

export interface About {
  id: string;
  queue: string;
  registration: Registration;
  headers: JobHeaders;
  /** Ms since 1970. */
  now: number;
}

export interface Where {
  pool: Pool;
  /** Inline it would have stopped its worker, so a stuck event loop is a crash. */
  watchStall: boolean;
  patience: Patience;
}

export class IsolatedRun implements ChildRun, Tenant {
  readonly nr = ++runs;
  readonly id: string;
  readonly registration: Registration;
  readonly headers: JobHeaders;
  delivery: Delivery;
  readonly #about: About;
  readonly #where: Where;
  readonly #it: IsolationResources;
  readonly #timers: OwnTimer[] = [];
  readonly #publishing: Publishing;
  #startedAt = performance.now();
  #place: Place | undefined;
  #onBegan: (() => void) | undefined;
  #onEnd: OnEnd | undefined;
  #untaken = 0;
  #taken = false;
  #answeredAt = 0;
  #unanswered = 0;
  #watching: NodeJS.Timeout | undefined;
  #sent = false;
  #stopping = false;
  #timedOut: JobTimeoutError | undefined;
  #stalled = false;

  constructor(delivery: Delivery, about: About, where: Where, resources: IsolationResources) {
    this.delivery = delivery;
    this.id = about.id;
    this.registration = about.registration;
    this.headers = about.headers;
    this.#about = about;
    this.#where = where;
    this.#it = resources;
    this.#publishing = new Publishing(resources);
  }

  get durationMs(): number {
    return performance.now() - this.#startedAt;
  }

  get ended(): boolean {
    return this.#onEnd === undefined;
  }

  /** A child has it, and may run it by now. */
  get begun(): boolean {
    return this.#sent;
  }

  start(onBegan: () => void, onEnd: OnEnd): void {
    this.#onBegan = onBegan;
    this.#onEnd = onEnd;
    this.#moveIn();
  }

  abort(reason: Error): void {
    if (!(reason instanceof WorkerStoppingError)) {
      const kind = reason instanceof AckTimeoutError ? 'ack-timeout' : 'timeout';
      this.#post({ kind: 'abort', reason: { kind, message: reason.message } });
      return;
    }
    this.#stopping = true;
    if (this.#place) this.#post({ kind: 'abort', reason: { kind: 'stopping' } });
    else this.end({ kind: 'released' });
  }

  end(result: RunResult, outcome?: Outcome): void {
    const onEnd = this.#onEnd;
    if (!onEnd) return;
    this.#onEnd = undefined;
    for (const timer of this.#timers) timer.clear();
    clearInterval(this.#watching);
    // It still runs there.
    this.#place?.kill();
    this.#place = undefined;
    onEnd(this, result, outcome);
  }

  // --- into a child ---

  #moveIn(options?: { fresh: boolean }): void {
    void this.#move(options).catch(() => this.#unable());
  }

  async #move({ fresh = false } = {}): Promise<void> {
    const renting = this.#where.pool.rent(this, { fresh });
    const place = await renting.catch(() => this.#unable());
    if (!place) return;
    if (this.ended) {
      place.giveBack();
      return;
    }
    if (!place.jobs.includes(this.registration.name)) {
      place.giveBack();
      this.#unknownThere();
      return;
    }
    try {
      place.post({ kind: 'run', order: this.#order() });
    } catch (error) {
      place.giveBack();
      this.#unsayable(error);
      return;
    }
    this.#place = place;
    this.#sent = true;
    this.#watch();
  }

  /** What amqplib decodes may be nested deeper than a clone reaches. */
  #unsayable(cause: unknown): void {
    const { name, message } = recordError(cause);
    const error = { name, message: `its headers cannot be handed to a ${this.#kind}: ${message}` };
    this.end({ kind: 'unfit', reason: 'undecodable', error });
  }

  #unable(): undefined {
    this.end({ kind: 'unstarted' });
  }

  #unknownThere(): void {
    const { name, isolation } = this.registration;
    const kind = isolation === 'thread' ? 'thread' : 'process';
    const error = new ChildStartError(
      `the workers folder exports no job called '${name}', so no child can run it; it waits`,
    );
    this.#it.bus.emit('child.failed', { kind, exitCode: null, signal: null, error });
    this.#unable();
  }

  #order() {
    const { body, properties, redelivered, deliveryCount, exchange, routingKey } = this.delivery;
    const { id, queue, now } = this.#about;
    return {
      run: this.nr,
      id,
      queue,
      now,
      body,
      properties,
      redelivered,
      deliveryCount,
      exchange,
      routingKey,
    };
  }

  #post(message: Down): void {
    this.#place?.post(message);
  }

  // --- what it says ---

  onMessage(message: RunMessage): void {
    if (this.ended) return;
    if (message.kind === 'took') this.#took();
    else if (message.kind === 'began') this.#onBegan?.();
    else if (message.kind === 'pong') this.#answered();
    else if (message.kind === 'forget') this.#publishing.forget(message.call);
    else if (message.kind === 'ended') this.#finish(message.ending, message.broken);
    else {
      const place = this.#place;
      void this.#publishing.publish(message, (answer) => place?.post(answer));
    }
  }

  #took(): void {
    this.#taken = true;
    this.#startedAt = performance.now();
    this.#answered();
    if (!this.#where.watchStall) clearInterval(this.#watching);
    const { timeoutMs } = this.registration;
    if (timeoutMs !== undefined) this.#after(timeoutMs, () => this.#timeOut(timeoutMs));
  }

  #answered(): void {
    this.#answeredAt = performance.now();
    this.#unanswered = 0;
  }

  #after(ms: number, call: () => void): void {
    this.#timers.push(new OwnTimer(ms, call));
  }

  // --- its end ---

  #finish(ending: Ending, broken: boolean): void {
    const place = this.#place;
    this.#place = undefined;
    if (broken) place?.end();
    else place?.giveBack();
    if (this.#timedOut) this.end({ kind: 'timed-out', error: this.#timedOut });
    else if (ending.kind === 'unfit') this.end(ending);
    else if (ending.kind === 'threw')
      this.end({ kind: 'threw', error: fromWire(ending.error) }, ending.outcome);
    else if (ending.kind === 'returned') this.end({ kind: 'returned', value: undefined }, ending.outcome);
    else this.end({ kind: 'released' }, ending.outcome);
  }

  /** It is asked to stop; what it returns from now on is not looked at. One that does not answer is stuck. */
  #timeOut(timeoutMs: number): void {
    const { name } = this.registration;
    this.#timedOut = new JobTimeoutError(`${name} ran longer than its timeout of ${timeoutMs} ms`);
    this.abort(this.#timedOut);
    const askedAt = performance.now();
    this.#post({ kind: 'ping' });
    this.#after(this.#where.patience.answer, () => {
      if (this.#answeredAt < askedAt) this.#place?.kill();
    });
    this.#after(this.#where.patience.stop, () => this.#place?.kill());
  }

  /** Until it is taken: what ran there before may have left a loop. On probation to the end. */
  #watch(): void {
    this.#unanswered = 0;
    this.#stalled = false;
    this.#watching ??= setInterval(() => this.#look(), this.#where.patience.stall / PINGS);
  }

  #look(): void {
    if (this.#unanswered < PINGS) {
      this.#unanswered += 1;
      this.#post({ kind: 'ping' });
      return;
    }
    this.#stalled = true;
    this.#place?.kill();
  }

  onDeath(death: Death): void {
    if (this.ended) return;
    if (this.#place?.tenants === 1) this.#untaken += 1;
    this.#place = undefined;
    this.#sent = this.#taken;
    if (this.#timedOut) this.end({ kind: 'timed-out', error: this.#timedOut });
    else if (this.#stopping) this.end({ kind: 'released' });
    else if (this.#taken) this.#crashed(death);
    else if (this.#untaken < MOST_UNTAKEN) this.#moveOn(death);
    // We ended it ourselves, before it could harm anybody.
    else if (this.#stalled) this.end({ kind: 'unstarted' });
    else this.#crashed(death);
  }

  /** Into one that nobody has left anything in. */
  #moveOn({ exitCode, signal }: Death): void {
    this.#it.bus.emit('child.failed', { kind: this.#kind, exitCode, signal });
    this.#moveIn({ fresh: true });
  }

  #crashed(death: Death): void {
    const { headers, registration } = this;
    const how = this.#stalled
      ? `its event loop did not answer for ${this.#where.patience.stall / 1000} s, so its process was killed`
      : `its ${this.#kind} ended with ${death.signal ?? `exit code ${death.exitCode}`} ${this.#taken ? 'while it ran' : 'when it was given this job, twice'}`;
    const error = new JobCrashedError(how, death);
    this.end({ kind: 'crashed', error, crashes: headers.crashes, most: registration.maxCrashes });
  }

  get #kind() {
    return this.#where.pool.kind;
  }
}
