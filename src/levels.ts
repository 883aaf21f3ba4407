/** The levels as one process uses them: most processes never do, so the first that does declares them. */
import { applyTopology } from '../topology/declarer.ts';
import { LONGEST_LEVELS_S, levelRoute } from '../topology/levels.ts';
import type { Names } from '../topology/names.ts';
import { planLevels } from '../topology/plan.ts';
import { AdminError, type Broker, type Publication, type PublishOptions } from './broker/broker.ts';
import { withHeaders } from './core/envelope.ts';
import { TopologyMismatchError, UnroutableError } from './core/errors.ts';
import type { Headers } from './core/message.ts';
import { settledWithin } from './deadline.ts';

export interface LevelsResources {
  broker: Pick<Broker, 'publish' | 'admin'>;
  names: Names;
  /** False: this process is told to declare nothing. */
  mayDeclare: boolean;
  onDeclared?: ((created: string[]) => void) | undefined;
}

/** The longest wait, in ms. */
export const LONGEST_LEVELS_MS = LONGEST_LEVELS_S * 1000;

const DEFAULT_DEADLINE_MS = 30_000;
/** A publish to an exchange that is not there costs all that is under way its channel: not tried again before. */
const REFUSED_FOR_MS = 30_000;

export class Levels {
  readonly #it: LevelsResources;
  #declaring: Promise<void> | undefined;
  #refusal: { error: UnroutableError; until: number } | undefined;

  constructor(resources: LevelsResources) {
    this.#it = resources;
  }

  /** False when they were missing a moment ago and could not be declared. */
  get usable(): boolean {
    return this.#refusal === undefined || this.#refusal.until < performance.now();
  }

  /** `publication` so that it waits for so many whole seconds, and then takes the way of what falls due. */
  delayed(publication: Omit<Publication, 'exchange'>, seconds: number): Publication {
    const { routingKey, body, properties } = publication;
    const headers: Headers = Object.assign({}, properties.headers);
    headers.CC = levelRoute(seconds).keys;
    return { exchange: this.#it.names.later, routingKey, body, properties: withHeaders(properties, headers) };
  }

  /**
   * Publishes what `make` makes of `delayed`. Where no level takes it they are declared, once for all who wait, and
   * it is made anew: that takes a while, which is taken off the wait. @throws a PublishError, as the broker's `publish`
   */
  async publish(make: () => Publication, options: PublishOptions = {}): Promise<void> {
    const until = performance.now() + (options.deadline ?? DEFAULT_DEADLINE_MS);
    if (this.#declaring) await settledWithin(until - performance.now(), this.#declaring);
    if (!this.usable) throw this.#refusal?.error;
    try {
      await this.#it.broker.publish(make(), left(options, until));
    } catch (error) {
      if (!(error instanceof UnroutableError)) throw error;
      await settledWithin(until - performance.now(), this.#declare(error));
      if (!this.usable) throw this.#refusal?.error;
      await this.#it.broker.publish(make(), left(options, until));
    }
  }

  #declare(missing: UnroutableError): Promise<void> {
    this.#declaring ??= this.#tryToDeclare(missing).finally(() => {
      this.#declaring = undefined;
    });
    return this.#declaring;
  }

  /** Never rejects: what stands in the way is remembered for a while. */
  async #tryToDeclare(missing: UnroutableError): Promise<void> {
    try {
      if (!this.#it.mayDeclare) throw new TopologyMismatchError('this process is told to declare nothing');
      const { created } = await applyTopology(this.#it.broker, planLevels(this.#it.names));
      this.#refusal = undefined;
      this.#it.onDeclared?.(created);
    } catch (error) {
      this.#refusal = { error: refused(missing, error), until: performance.now() + REFUSED_FOR_MS };
    }
  }
}

/** Whether somebody declared them: then they are in use. @throws AdminError when the broker cannot be asked */
export async function levelsStand(broker: Pick<Broker, 'admin'>, names: Names): Promise<boolean> {
  try {
    await broker.admin((channel) => channel.checkExchange(names.later));
    return true;
  } catch (error) {
    if (error instanceof AdminError && error.failure === 'missing') return false;
    throw error;
  }
}

function refused(missing: UnroutableError, cause: unknown): UnroutableError {
  const why =
    cause instanceof TopologyMismatchError || cause instanceof AdminError ? cause.message : String(cause);
  return new UnroutableError(
    `${missing.message} The levels that hold a job for any time (schedule-00 … schedule-27) are not all there, ` +
      `and could not be declared from here: ${why}. Run \`warren topology apply --levels\` as a user who may.`,
    { cause },
  );
}

/** Apart: the levels may not stand, or be others' alone. (A literal: see core/events.ts.) */
function left({ signal, once = false }: PublishOptions, until: number): PublishOptions {
  return { signal, once, deadline: Math.max(0, until - performance.now()), apart: true };
}
