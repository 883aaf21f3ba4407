/** Waits that end. Nothing that depends on a peer is awaited without one of these. */
import { LONGEST_TIMER_MS } from './core/duration.ts';

/** What a wait rejects with when its time is up. */
export class TimeUpError extends Error {
  override readonly name = 'TimeUpError';
}

/** `promise`, or a TimeUpError after `ms`. The promise itself goes on; a late rejection of it is dropped. */
export function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const late = () => reject(new TimeUpError(`${what} took longer than ${ms} ms`));
    const timer = setTimeout(late, Math.min(ms, LONGEST_TIMER_MS));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Whether `promise` settled, either way, before `ms` had passed. */
export function settledWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  return within(Math.max(0, ms), 'waiting', promise).then(
    () => true,
    (error) => !(error instanceof TimeUpError),
  );
}

/** A pause that can be ended early, as often as one likes. */
export class Pause {
  #timer: NodeJS.Timeout | undefined;
  #endsAt = 0;
  #resolve: (() => void) | undefined;

  /** Resolves after `ms`, or at `end()`. */
  take(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#endsIn(ms);
    });
  }

  /** Leaves no more than `ms` of it. */
  shorten(ms: number): void {
    if (this.#resolve && performance.now() + ms < this.#endsAt) this.#endsIn(ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#resolve?.();
    this.#resolve = undefined;
  }

  #endsIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#endsAt = performance.now() + ms;
    this.#timer = setTimeout(() => this.end(), ms);
  }
}

/**
 * Exponential with full jitter: any moment up to `first × 2^(failures - 1)`, never above `most`.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function jittered(failures: number, random: () => number, first = 100, most = 10_000): number {
  return failures <= 0 ? 0 : Math.round(random() * Math.min(most, first * 2 ** Math.min(failures - 1, 30)));
}

/** The words of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
