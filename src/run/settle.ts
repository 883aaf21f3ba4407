/**
 * The one place where a copy takes the place of a message. It (retry, snooze, dead) is confirmed and routed before its
 * original is acked; while that cannot be done the original stays unacked.
 */
import { wayOf } from '../../topology/delays.ts';
import { levelSeconds } from '../../topology/levels.ts';
import type { Names } from '../../topology/names.ts';
import type { Broker, Delivery, Publication } from '../broker/broker.ts';
import { deadProperties, retryProperties } from '../core/envelope.ts';
import type { ErrorRecord } from '../core/error-record.ts';
import { PayloadInvalidError, PayloadTooLargeError, PublishError, UnroutableError } from '../core/errors.ts';
import type { AttemptInfo, EventBus } from '../core/events.ts';
import type { JobHeaders } from '../core/headers.ts';
import type { DeadReason, Outcome } from '../core/outcome.ts';
import type { Levels } from '../levels.ts';

/** A message to settle. The delivery may be replaced while its copy is on the way. */
export interface Unsettled {
  readonly id: string;
  readonly headers: JobHeaders;
  delivery: Delivery;
}

type Delayed = Extract<Outcome, { kind: 'retry' | 'snooze' }>;

export interface SettlerResources {
  broker: Pick<Broker, 'publish'>;
  bus: EventBus;
  names: Names;
  /** Delays that have a queue, in ms, shortest first. */
  rungs: readonly number[];
  /** For a wait that no delay queue fits. */
  levels: Levels;
  now(): number;
  /** Declares what may be missing, where this process may. */
  repair(): Promise<void>;
  /** Aborted when the grace period is over: what could not be published by then stays with the broker. */
  giveUp: AbortSignal;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export class Settler {
  readonly #it: SettlerResources;
  readonly #queue: string;

  constructor(queue: string, resources: SettlerResources) {
    this.#queue = queue;
    this.#it = resources;
  }

  /** The grace period is over: what has no copy by now gets none from here. */
  get gaveUp(): boolean {
    return this.#it.giveUp.aborted;
  }

  /** Carries out an outcome. True when the message has moved on; false when the broker still has it. */
  async settle(
    message: Unsettled,
    outcome: Exclude<Outcome, { kind: 'done' }>,
    info: AttemptInfo,
  ): Promise<boolean> {
    switch (outcome.kind) {
      case 'release':
        message.delivery.release();
        return false;
      case 'dead':
        return this.#park(message, outcome, info);
      default:
        return this.#delay(message, outcome, info);
    }
  }

  async #park(
    message: Unsettled,
    { reason, error, crashes }: { reason: DeadReason; error: ErrorRecord; crashes?: number },
    info: AttemptInfo,
  ): Promise<boolean> {
    const queue = this.#it.names.queue(this.#queue);
    const now = this.#it.now();
    const copy: MakeCopy = ({ lean }) => ({
      exchange: this.#it.names.dead,
      routingKey: queue,
      body: message.delivery.body,
      properties: deadProperties(message.delivery.properties, {
        id: message.id,
        reason,
        error: lean ? withoutStack(error) : error,
        crashes,
        queue,
        now,
      }),
    });
    const moved = await this.#move(message, copy, info);
    if (moved !== 'kept') this.#it.bus.emit('job.dead', { ...info, reason, error });
    return moved !== 'kept';
  }

  async #delay(message: Unsettled, outcome: Delayed, info: AttemptInfo): Promise<boolean> {
    const dueAt = this.#it.now() + outcome.waitMs;
    let copy: Publication | undefined;
    const again: MakeCopy = (how) => (copy = this.#delayedCopy(message, outcome, dueAt, how));
    const moved = await this.#move(message, again, info);
    if (moved === 'copied') {
      const { id, job, queue, attempt } = info;
      const event = { id, job, queue, attempt, waitMs: outcome.waitMs, delay: copy?.exchange ?? '' };
      this.#it.bus.emit(outcome.kind === 'retry' ? 'job.retried' : 'job.snoozed', event);
    }
    if (moved === 'rejected')
      this.#it.bus.emit('job.dead', { ...info, reason: 'undecodable', error: unsendable(outcome) });
    return moved !== 'kept';
  }

  /** Made anew for each try: the levels may have turned out not to be there, and the rest of the wait is shorter. */
  #delayedCopy(message: Unsettled, outcome: Delayed, dueAt: number, { lean }: How): Publication {
    const { names, rungs, levels, now } = this.#it;
    const error = outcome.kind === 'retry' ? outcome.error : undefined;
    const way = wayOf(outcome.waitMs, rungs, levels.usable);
    const rung = way && 'rung' in way ? way.rung : undefined;
    const copy = {
      routingKey: names.queue(this.#queue),
      body: message.delivery.body,
      properties: retryProperties(message.delivery.properties, {
        id: message.id,
        attempt: outcome.kind === 'retry' ? outcome.attempt : message.headers.attempt,
        error: error && lean ? withoutStack(error) : error,
        crashes: outcome.kind === 'retry' ? outcome.crashes : undefined,
        dueAt,
        notBefore: rung !== undefined && rung < outcome.waitMs ? dueAt : undefined,
      }),
    };
    const seconds = way && 'seconds' in way ? levelSeconds(dueAt - now()) : 0;
    if (seconds > 0) return levels.delayed(copy, seconds);
    return { ...copy, exchange: rung === undefined ? names.jobs : names.delay(rung) };
  }

  /** Publishes the copy, then acks the original. */
  async #move(message: Unsettled, makeCopy: MakeCopy, info: AttemptInfo): Promise<Moved> {
    let lean = false;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      // The broker has it back and hands it out again; a copy beside that would double the job.
      if (!message.delivery.live) return 'kept';
      if (message.delivery.properties.unreadable) return rejected(message);
      const make = () => makeCopy({ lean });
      const copy = make();
      const problem = await this.#publish(copy, make);
      if (!problem) {
        message.delivery.ack();
        return 'copied';
      }
      if (this.gaveUp) {
        message.delivery.release();
        return 'kept';
      }
      // Not there and not to be declared: at once again, on a rung.
      if (isLevelled(copy) && !this.#it.levels.usable) continue;
      this.#it.bus.emit('settlement.failed', { ...info, error: problem });
      if (cannotEverBePublished(problem)) {
        if (lean) return rejected(message);
        lean = true;
        continue;
      }
      if (problem instanceof UnroutableError) await this.#it.repair().catch(() => {});
      await pauseFor(pause, this.#it.giveUp);
    }
  }

  async #publish(copy: Publication, makeCopy: () => Publication): Promise<PublishError | undefined> {
    const options = { signal: this.#it.giveUp };
    try {
      // On the levels as on the broker itself, but where they are missing they are declared on the way.
      if (isLevelled(copy)) await this.#it.levels.publish(makeCopy, options);
      else await this.#it.broker.publish(copy, options);
      return undefined;
    } catch (error) {
      if (error instanceof PublishError) return error;
      throw error;
    }
  }
}

/** What became of a message that was to go on: a copy is on its way, the broker dead-letters it, or still has it. */
type Moved = 'copied' | 'rejected' | 'kept';

/** `lean`: without the stack of its error, where that makes its headers more than can be sent. */
interface How {
  lean: boolean;
}

type MakeCopy = (how: How) => Publication;

function withoutStack({ name, message }: ErrorRecord): ErrorRecord {
  return { name, message };
}

/** Why a job that was to go on lies in the dead queue as it came. */
function unsendable(outcome: Delayed): ErrorRecord {
  const failed =
    outcome.kind === 'retry' ? `; it failed with ${outcome.error.name}: ${outcome.error.message}` : '';
  return {
    name: 'HeadersError',
    message: `its headers cannot be sent again, so that it cannot wait${failed}`,
  };
}

function rejected({ delivery }: Unsettled): Moved {
  return delivery.reject() ? 'rejected' : 'kept';
}

function isLevelled({ properties }: Publication): boolean {
  return properties.headers.CC !== undefined;
}

/** Headers that no encoder takes: the queue's own dead-lettering moves the message as it is. */
function cannotEverBePublished(error: PublishError): boolean {
  return error instanceof PayloadInvalidError || error instanceof PayloadTooLargeError;
}

function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
