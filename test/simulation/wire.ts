/** A TCP connection: two directions, each in its order, each cut where it happens to be. */
import type { Random } from './random.ts';
import type { Owner, Scheduled, Scheduler } from './scheduler.ts';

export class Direction {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  /** Who gets what arrives. */
  readonly #receiver: Owner | undefined;
  readonly #underWay = new Set<Scheduled>();
  #lastAt = 0;
  #open = true;
  #held: (() => void)[] | undefined;

  constructor(scheduler: Scheduler, random: Random, receiver: Owner | undefined) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#receiver = receiver;
  }

  send(frame: () => void): void {
    if (!this.#open) return;
    this.#lastAt = Math.max(this.#lastAt, this.#scheduler.now + this.#random.latency());
    const event = this.#scheduler.at(this.#receiver, this.#lastAt, () => {
      this.#underWay.delete(event);
      if (this.#held) this.#held.push(frame);
      else frame();
    });
    this.#underWay.add(event);
  }

  /** Nothing sent from now on arrives before `ms` have passed. */
  stall(ms: number): void {
    this.#lastAt = Math.max(this.#lastAt, this.#scheduler.now + ms);
  }

  /** Frames take longer than they do by themselves, or for ever: it was cut, and not everybody has noticed. */
  get isStalled(): boolean {
    return !this.#open || this.#held !== undefined || this.#lastAt > this.#scheduler.now + 100;
  }

  /** The receiver reads no more until `resume`. */
  pause(): void {
    this.#held ??= [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of held) frame();
  }

  /** Over: of what is under way the first part (0 to 1) still arrives. Returns in how many ms the last of it does. */
  cut(part: number): number {
    this.#open = false;
    this.#held = undefined;
    const kept = Math.round(this.#underWay.size * part);
    [...this.#underWay].slice(kept).forEach((event) => {
      event.cancel();
    });
    return kept === 0 ? 0 : Math.max(0, this.#lastAt - this.#scheduler.now);
  }
}

export class Wire {
  readonly toServer: Direction;
  readonly toClient: Direction;

  constructor(scheduler: Scheduler, random: Random, client: Owner) {
    this.toServer = new Direction(scheduler, random, undefined);
    this.toClient = new Direction(scheduler, random, client);
  }
}
