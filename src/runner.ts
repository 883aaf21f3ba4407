/** One queue: take, run, settle, drain. */
import type { Broker, Delivery, Subscription, SubscriptionState } from './broker/broker.ts';
import type { AttemptInfo, EventBus } from './core/events.ts';
import { type JobHeaders, readHeaders } from './core/headers.ts';
import type { Outcome, RunResult } from './core/outcome.ts';
import type { Registration, Registry } from './core/registry.ts';
import type { Isolation } from './isolate/isolation.ts';
import { newId } from './new-id.ts';
import { Attempt, type AttemptResources, WorkerStoppingError } from './run/attempt.ts';
import { type Decoded, decode, type Unfit } from './run/decode.ts';
import { Finish } from './run/finish.ts';
import type { GracePlan } from './run/grace.ts';
import { Intake } from './run/intake.ts';
import { KnownRuns } from './run/known-runs.ts';
import { Probation } from './run/probation.ts';
import { reportStart } from './run/report.ts';
import type { Run } from './run/run.ts';
import type { Settler, Unsettled } from './run/settle.ts';
import { Slots } from './run/slots.ts';
import { USUAL_ACK_TIMEOUT_MS } from './run/taken-back.ts';
import { type OverdueRun, overdueRuns } from './run/watchdog.ts';

/** Where runs go on in processes and threads of their own. */
type Children = Pick<Isolation, 'seats' | 'run'>;

export interface RunnerResources extends AttemptResources {
  broker: Pick<Broker, 'subscribe'>;
  bus: EventBus;
  registry: Registry;
  settler: Settler;
  /** Undefined where there is no workers folder: then every job runs inline, suspects too. */
  isolation: Children | undefined;
  now(): number;
  /** Declares what is missing, where this process may. */
  repair(): Promise<void>;
}

export interface RunnerOptions {
  /** The user's name of the queue, and its full name on the broker. */
  queue: string;
  fullName: string;
  concurrency: number;
  prefetch: number | 'auto';
  /** How long (ms) the broker waits for an ack, where somebody said so. */
  ackTimeoutMs?: number | undefined;
  /** Whether the broker can be asked to wait that long. */
  ackTimeoutAsked?: boolean;
}

/** What a drain left behind. */
export interface Drained {
  /** Jobs that were begun and went back unfinished: at their abort signal, or when the grace period ended. */
  released: number;
  /** False when some acks may not have reached the broker: those jobs run again. */
  sent: boolean;
}

/** What a queue does at this moment in this process. */
export interface RunnerState {
  queue: string;
  running: number;
  concurrency: number;
  attached: boolean;
  /** How long its oldest run goes on, in seconds; 0 when nothing runs. */
  oldestRunningSeconds: number;
  /** Runs that go on for longer than they may. */
  overdue: readonly OverdueRun[];
}

export class Runner {
  readonly #options: RunnerOptions;
  readonly #it: RunnerResources;
  readonly #intake: Intake;
  readonly #slots: Slots;
  readonly #known: KnownRuns;
  readonly #finish: Finish;
  readonly #probation: Probation;
  /** Runs that are not settled yet, oldest first. */
  readonly #active = new Set<Run>();
  #filling = false;
  #draining = false;
  #subscription: Subscription | undefined;
  #endSeats: (() => void) | undefined;

  constructor(options: RunnerOptions, resources: RunnerResources) {
    this.#options = options;
    this.#it = resources;
    const { concurrency, prefetch } = options;
    this.#intake = new Intake(concurrency, prefetch, (count) => this.#subscription?.setPrefetch(count));
    this.#slots = new Slots(concurrency);
    const { queue } = this;
    const { bus, registry, isolation, settler } = resources;
    this.#known = new KnownRuns({
      ...{ queue, bus, active: this.#active, held: this.#intake.prefetch },
      now: () => resources.now(),
      pay: ({ run, outcome, info }) => {
        this.#slots.take();
        this.#settleThenFree(run, outcome, info);
      },
    });
    const attached = () => this.#subscription?.attached === true;
    this.#finish = new Finish({ queue, bus, settler, known: this.#known, attached });
    const givenBack = (id: string | undefined) => this.#intake.givenBack(id);
    this.#probation = new Probation({ queue, bus, registry, seats: isolation?.seats, givenBack });
  }

  get queue(): string {
    return this.#options.queue;
  }

  get state(): RunnerState {
    const [oldest] = this.#active.values();
    return {
      queue: this.queue,
      running: this.#active.size,
      concurrency: this.#options.concurrency,
      attached: this.#subscription?.attached === true && !this.#draining,
      oldestRunningSeconds: oldest ? oldest.durationMs / 1000 : 0,
      overdue: overdueRuns(this.#active, this.#it.overran ?? [], this.#ackTimeoutMs),
    };
  }

  get #ackTimeoutMs(): number {
    return this.#options.ackTimeoutMs ?? USUAL_ACK_TIMEOUT_MS;
  }

  start(): void {
    this.#endSeats = this.#probation.onSeat(() => this.#fill());
    this.#subscription = this.#it.broker.subscribe(this.#options.fullName, {
      prefetch: this.#intake.prefetch,
      ackTimeout: this.#options.ackTimeoutAsked ? this.#options.ackTimeoutMs : undefined,
      onTakenBack: (afterMs) => this.#takenBack(afterMs),
      onDelivery: (delivery) => this.#take(delivery),
      onState: (state) => this.#changed(state),
      onMissing: () => this.#it.repair(),
    });
  }

  /** Asked for by the consumer, a limit is the one that the broker keeps to. */
  #takenBack(toldMs: number | undefined): void {
    const { ackTimeoutAsked, ackTimeoutMs } = this.#options;
    const knownMs = toldMs ?? (ackTimeoutAsked ? ackTimeoutMs : undefined);
    this.#known.takenBack(knownMs ?? this.#ackTimeoutMs, { known: knownMs !== undefined });
  }

  #changed(state: SubscriptionState): void {
    const { queue, concurrency } = this.#options;
    if (state.state === 'attached') {
      this.#finish.attached();
      this.#it.bus.emit('consumer.attached', { queue, concurrency });
      return;
    }
    this.#intake.lost();
    this.#it.bus.emit('consumer.detached', { queue, reason: state.reason });
  }

  // --- take ---

  #take(delivery: Delivery): void {
    if (this.#draining) {
      delivery.release();
      return;
    }
    if (this.#known.dealtWith(delivery)) return;
    if (this.#probation.isFor(delivery)) this.#intake.pushSuspect(delivery);
    else this.#intake.push(delivery);
    this.#fill();
  }

  /** A job that ends at once comes back here while it is begun: the loop outside goes on then. */
  #fill(): void {
    if (this.#filling) return;
    this.#filling = true;
    try {
      while (this.#slots.free) {
        const delivery = this.#nextSuspect() ?? this.#intake.next();
        if (!delivery) return;
        if (this.#known.dealtWithMeanwhile(delivery)) continue;
        this.#slots.take();
        this.#begin(delivery);
      }
    } finally {
      this.#filling = false;
    }
  }

  /** A suspect takes a slot only together with its seat. */
  #nextSuspect(): Delivery | undefined {
    return this.#probation.hasSeat ? this.#intake.nextSuspect() : undefined;
  }

  // --- run ---

  #begin(delivery: Delivery): void {
    if (this.#it.isolation && this.#beginIsolated(delivery, this.#it.isolation)) return;
    const decoded = decode(delivery, this.#it.registry);
    if (decoded instanceof Promise) void decoded.then((result) => this.#decoded(delivery, result));
    else this.#decoded(delivery, decoded);
  }

  #decoded(delivery: Delivery, decoded: Decoded): void {
    if (this.#draining) {
      delivery.release();
      this.#free();
      return;
    }
    // The broker took it back while its payload was checked, and hands it out again.
    if (!delivery.live) {
      this.#free();
      return;
    }
    const { now, headers, id } = this.#read(delivery);
    if (!decoded.ok) this.#park({ id, headers, delivery }, decoded);
    else if (headers.notBefore !== undefined && headers.notBefore > now)
      this.#waitMore({ id, headers, delivery }, decoded.registration, headers.notBefore - now);
    else this.#run(delivery, decoded, { id, headers, now });
  }

  #park(message: Unsettled, { reason, error }: Unfit): void {
    const registration = this.#it.registry.get(message.delivery.properties.type);
    const info = this.#info(message.id, message.headers, registration);
    this.#settleThenFree(message, { kind: 'dead', reason, error }, info);
  }

  #waitMore(message: Unsettled, registration: Registration, waitMs: number): void {
    this.#settleThenFree(
      message,
      { kind: 'snooze', waitMs },
      this.#info(message.id, message.headers, registration),
    );
  }

  #settleThenFree(message: Unsettled, outcome: Exclude<Outcome, { kind: 'done' }>, info: AttemptInfo): void {
    void this.#finish.settle(message, outcome, info).then(() => this.#free());
  }

  #run(
    delivery: Delivery,
    { registration, payload }: { registration: Registration; payload: unknown },
    { id, headers, now }: { id: string; headers: JobHeaders; now: number },
  ): void {
    const { queue } = this;
    const attempt = new Attempt(delivery, { id, headers, now, queue, registration }, this.#it);
    this.#active.add(attempt);
    reportStart(this.#it.bus, attempt, { queue, now });
    attempt.start(payload, this.#ended);
  }

  readonly #ended = (run: Run, result: RunResult, decided?: Outcome): void => {
    const settled = this.#finish.ended(run, result, decided);
    if (settled) void settled.then(() => this.#leave(run));
    else this.#leave(run);
  };

  // --- run in a child ---

  /** False: it runs here. Its payload is left to the child, which may take harm from it. */
  #beginIsolated(delivery: Delivery, isolation: Children): boolean {
    const registration = this.#it.registry.get(delivery.properties.type);
    if (!registration) return false;
    const probation = this.#probation.isFor(delivery);
    if (!probation && registration.isolation === 'inline') return false;
    const { now, headers, id } = this.#read(delivery);
    if (headers.notBefore !== undefined && headers.notBefore > now) return false;
    const about = { id, queue: this.queue, registration, headers, now };
    const run = isolation.run(delivery, about, { probation });
    this.#active.add(run);
    const leave = probation ? this.#probation.begin(run) : () => {};
    run.start(
      () => reportStart(this.#it.bus, run, { queue: this.queue, now }),
      (...end) => {
        leave();
        this.#ended(...end);
      },
    );
    return true;
  }

  #read({ properties }: Delivery): { now: number; headers: JobHeaders; id: string } {
    const now = this.#it.now();
    return { now, headers: readHeaders(properties, now), id: properties.messageId || newId() };
  }

  #leave(attempt: Run): void {
    this.#active.delete(attempt);
    this.#free();
  }

  #free(): void {
    this.#slots.giveBack();
    this.#fill();
    this.#slots.tell();
    if (!this.#draining) this.#intake.adjust(this.#slots.busy);
  }

  #info(id: string, headers: JobHeaders, registration: Registration | undefined): AttemptInfo {
    return { id, job: registration?.name ?? 'unknown', queue: this.queue, attempt: headers.attempt };
  }

  // --- drain ---

  /**
   * Nothing new starts, what waits goes back at once, what runs has until `endAt` and an abort signal at
   * `abortAt` (both of performance.now()). Then the rest is released. Never rejects.
   */
  async drain(times: GracePlan): Promise<Drained> {
    this.#draining = true;
    this.#endSeats?.();
    this.#intake.stop();
    for (const run of this.#active) if (!run.begun) run.end({ kind: 'released' });
    const subscription = this.#subscription;
    const cancelled = subscription?.cancel(Math.max(0, times.endAt - performance.now()));
    await this.#slots.idleBy(times.abortAt);
    for (const attempt of this.#active) attempt.abort(new WorkerStoppingError());
    await this.#slots.idleBy(times.endAt);
    await this.#releaseRunning();
    await cancelled;
    // What is left of the grace period is there for a broker that is slow to take the acks.
    const settleMs = Math.max(0, times.endAt - performance.now()) + times.settleMs;
    const sent = subscription ? await subscription.close(settleMs) : true;
    return { released: this.#finish.released, sent: sent && this.#finish.unsent === 0 };
  }

  async #releaseRunning(): Promise<void> {
    for (const attempt of [...this.#active]) {
      // Ended, but its copy could not be published in time.
      if (attempt.ended) this.#finish.cutShort(attempt);
      attempt.end({ kind: 'released' });
    }
    // The ends above are settled in this turn of the event loop; nothing may be closed before.
    await new Promise(setImmediate);
  }
}
