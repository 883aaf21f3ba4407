/** What follows the end of a run: it is decided, told, settled and remembered. */
import type { AttemptInfo, EventBus } from '../core/events.ts';
import { decide, type Outcome, type RunResult } from '../core/outcome.ts';
import type { KnownRuns } from './known-runs.ts';
import { reportEnd } from './report.ts';
import type { Run } from './run.ts';
import type { Settler, Unsettled } from './settle.ts';

export interface FinishResources {
  queue: string;
  bus: EventBus;
  settler: Settler;
  known: KnownRuns;
  /** Whether the queue has a consumer here at this moment. */
  attached(): boolean;
}

/** What leaves a message to be settled by more than an ack. */
type Unfinished = Exclude<Outcome, { kind: 'done' }>;

/** No publish failed, which the settler tries again by itself, so nobody knows what is wrong. */
const AGAIN_AFTER_MS = 1_000;

export class Finish {
  readonly #it: FinishResources;
  #unsent = 0;
  #released = 0;
  readonly #cutShort = new WeakSet<Run>();

  constructor(resources: FinishResources) {
    this.#it = resources;
  }

  /** Jobs that were begun and went back unfinished. */
  get released(): number {
    return this.#released;
  }

  /** Finished with no channel to ack on, since the queue was last attached. */
  get unsent(): number {
    return this.#unsent;
  }

  /** What could not be acked is handed out again now. */
  attached(): void {
    this.#unsent = 0;
  }

  /** A promise only where there is something to wait for: most runs end well, and are acked at once. */
  ended(run: Run, result: RunResult, decided?: Outcome): Promise<void> | undefined {
    const { registration, headers, id, durationMs } = run;
    const info = { id, job: registration.name, queue: this.#it.queue, attempt: headers.attempt, durationMs };
    const outcome = decided ?? decide(result, headers.attempt, registration.policy);
    if (result.kind === 'released' && run.begun) this.#released += 1;
    reportEnd(this.#it.bus, info, result, outcome);
    if (outcome.kind !== 'done') return this.#moveOn(run, outcome, info);
    this.#done(run, info);
    return undefined;
  }

  async #moveOn(run: Run, outcome: Unfinished, info: AttemptInfo): Promise<void> {
    const moved = await this.settle(run, outcome, info);
    if (!moved && outcome.kind !== 'release' && this.#it.settler.gaveUp) this.cutShort(run);
  }

  /** Remembered whether or not the ack goes out: it may be lost on the way, too. */
  #done(run: Run, info: AttemptInfo): void {
    this.#it.known.remember(run.id, run.headers);
    // With a consumer attached the broker has handed it out again by now, here or elsewhere: nothing is left to send.
    if (!run.delivery.ack() && !this.#it.attached()) this.#unsent += 1;
    this.#it.bus.emit('job.succeeded', info);
  }

  /** The grace period ended while its copy was on the way. Counted once, whoever notices it first. */
  cutShort(run: Run): void {
    if (this.#cutShort.has(run)) return;
    this.#cutShort.add(run);
    this.#released += 1;
  }

  /** True when the message has moved on. Never rejects: nothing here may take the process down. */
  async settle(message: Unsettled, outcome: Unfinished, info: AttemptInfo): Promise<boolean> {
    const { settler, known, bus } = this.#it;
    try {
      const moved = await settler.settle(message, outcome, info);
      if (!moved) known.owe({ run: message, outcome, info });
      // A snoozed job comes back as the same run, so it must not be taken for settled then.
      if (moved && outcome.kind !== 'snooze') known.remember(message.id, message.headers);
      return moved;
    } catch (error) {
      bus.emit('settlement.failed', { ...info, error: error as Error });
      // The broker hands it out again, and nothing says that it can be settled then: not as fast as it can go.
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
      message.delivery.release();
      return false;
    }
  }
}
