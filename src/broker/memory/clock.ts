/** Time for the memory broker: the machine's, or one that only moves when a test says so. */
import { setImmediate as turn } from 'node:timers/promises';
import { LONGEST_TIMER_MS } from '../../core/duration.ts';

export interface Clock {
  /** Ms since 1970. */
  now(): number;
  setTimeout(call: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
}

/** Its timers keep no process alive: those of a real broker run elsewhere too. */
export const serverClock: Clock = {
  now: () => Date.now(),
  setTimeout: (call, ms) => setTimeout(call, Math.min(ms, LONGEST_TIMER_MS)).unref(),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
};

/** For what a client waits for, which a process must live to see. */
export const clientClock: Clock = {
  ...serverClock,
  setTimeout: (call, ms) => setTimeout(call, Math.min(ms, LONGEST_TIMER_MS)),
};

interface Timer {
  at: number;
  call: () => void;
}

/** A clock that stands still until `advance`. Timers of one moment fire in the order they were set. */
export class ManualClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  /** `start` in ms since 1970, default the first of January 2030. */
  constructor(start = Date.UTC(2030, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(call: () => void, ms: number): unknown {
    const timer = { at: this.#now + Math.max(ms, 0), call };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    this.#timers.delete(handle as Timer);
  }

  /** Moves on by `ms`, firing what falls due on the way; what each timer sets off is done before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (let timer = this.#next(end); timer; timer = this.#next(end)) {
      this.#timers.delete(timer);
      this.#now = timer.at;
      timer.call();
      await turn();
    }
    this.#now = end;
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= end && (!first || timer.at < first.at)) first = timer;
    return first;
  }
}
