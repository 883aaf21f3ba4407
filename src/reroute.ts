/**
 * What fell due while its work queue was gone lies in `unrouted`. A worker that runs the queue sends it on when the
 * queue stands again: published to `jobs`, confirmed and routed, then taken out of `unrouted`. What is for queues that
 * do not run here stays, in its order. Several workers may do so at once: a message is with one of them at a time.
 */
import { AdminError } from './broker/broker.ts';
import { settledWithin } from './deadline.ts';
import { type RerouteResources, RerouteVisit } from './reroute/visit.ts';

/** Looks come seldom, and soon again after something that may have put a queue back. */
const FIRST_LOOK_MS = 500;
const SELDOM_MS = 60_000;
/** What others leave there is not gone through again before this has passed, unless it became more or less. */
const SAME_AGAIN_MS = 600_000;
/** A visit that goes on when the process stops gets so long to give back in order what it holds. */
const ORDERLY_MS = 5_000;

export class Rerouter {
  readonly #it: RerouteResources;
  /** By the full name, which is the routing key. */
  readonly #queues: ReadonlyMap<string, string>;
  readonly #giveUp = new AbortController();
  #unsubscribe = () => {};
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = FIRST_LOOK_MS;
  #looking: Promise<void> | undefined;
  #visit: RerouteVisit | undefined;
  #left: { count: number; at: number } | undefined;
  #stopped = false;
  #told: string | undefined;

  constructor(resources: RerouteResources) {
    this.#it = resources;
    this.#queues = new Map(resources.queues.map((queue) => [resources.names.queue(queue), queue]));
  }

  /** From now on whenever a queue of this process is consumed again, and every minute. */
  start(): void {
    this.#unsubscribe = this.#it.bus.on('consumer.attached', () => this.#lookSoon());
    this.#lookSoon();
  }

  /**
   * Sends nothing more on. Resolves after `timeout` ms at the latest: false when it is not sure that what was sent
   * on is out of `unrouted`, so that it may run twice.
   */
  async stop(timeout: number): Promise<boolean> {
    this.#end();
    const visit = this.#visit;
    if (!visit) return true;
    visit.stop();
    await this.#lookedBy(Math.min(ORDERLY_MS, timeout));
    this.#giveUp.abort();
    if (visit.moved > 0) await this.#lookedBy(timeout - ORDERLY_MS);
    return visit.moved === 0 || visit.isOver;
  }

  #end(): void {
    this.#stopped = true;
    this.#unsubscribe();
    clearTimeout(this.#timer);
  }

  async #lookedBy(ms: number): Promise<void> {
    if (this.#looking) await settledWithin(ms, this.#looking);
  }

  #lookSoon(): void {
    this.#pauseMs = FIRST_LOOK_MS;
    this.#left = undefined;
    if (!this.#looking) this.#lookAfter(this.#pauseMs);
  }

  /** Workers that were started together need not all look together. */
  #lookAfter(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(
      () => {
        this.#looking = this.#look().finally(() => {
          this.#looking = undefined;
          this.#pauseMs = Math.min(this.#pauseMs * 2, SELDOM_MS);
          this.#lookAfter(this.#pauseMs);
        });
      },
      ms * (0.5 + this.#it.random() / 2),
    ).unref();
  }

  async #look(): Promise<void> {
    try {
      if (!(await this.#isWorthAVisit()) || this.#stopped) return;
      const visit = new RerouteVisit(this.#it, this.#queues);
      this.#visit = visit;
      await visit.go(this.#giveUp.signal);
      this.#left = visit.mustReturn ? undefined : { count: visit.left, at: performance.now() };
      this.#tell(visit.failure);
    } catch (thrown) {
      this.#failed(thrown);
    } finally {
      if (!this.#stopped) this.#visit = undefined;
    }
  }

  /** A passive declare: it takes nothing out, and costs next to nothing. */
  async #isWorthAVisit(): Promise<boolean> {
    const { broker, names } = this.#it;
    const { ready } = await broker.admin((channel) => channel.checkQueue(names.unroutedQueue));
    if (ready === 0) return false;
    const left = this.#left;
    return left === undefined || left.count !== ready || performance.now() - left.at > SAME_AGAIN_MS;
  }

  #failed(thrown: unknown): void {
    const failure = thrown instanceof AdminError ? thrown.failure : undefined;
    // A lost connection tells of itself, and a queue that was never declared holds nothing.
    if (failure === 'unavailable' || failure === 'missing') return;
    if (failure === 'forbidden') {
      this.#end();
      this.#it.bus.emit('reroute.forbidden', { reason: (thrown as AdminError).message });
      return;
    }
    this.#tell(thrown instanceof Error ? thrown : new Error(String(thrown)));
  }

  #tell(error: Error | undefined): void {
    const cause = error?.name;
    if (error && cause !== this.#told) this.#it.bus.emit('reroute.failed', { error });
    this.#told = cause;
  }
}
