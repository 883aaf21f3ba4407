/** A slow or failing look at something, shared by those who ask at the same time and kept for a moment. */
import { settledWithin } from '../deadline.ts';

export interface CacheTimes {
  /** Nobody looks again before this many ms after the last look began. */
  everyMs: number;
  /** How long (ms) one who asks waits for a new value. */
  waitMs: number;
  /** A value younger than this (ms) is still better than none. */
  keepMs: number;
}

/** Scrapes and health checks together ask the broker once a second at most, and wait for less than two. */
export const SNAPSHOT_TIMES: CacheTimes = { everyMs: 1000, waitMs: 1500, keepMs: 30_000 };

/**
 * A function that gives what `look` gave last, or looks again. It never rejects: undefined when there is
 * nothing young enough. A look that takes longer than `waitMs` goes on, for those who ask later.
 */
export function cached<T>(
  look: () => Promise<T>,
  { everyMs, waitMs, keepMs }: CacheTimes = SNAPSHOT_TIMES,
  now: () => number = () => performance.now(),
): () => Promise<T | undefined> {
  let last: { value: T; at: number } | undefined;
  let looking: Promise<void> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;

  const begin = () => {
    lookedAt = now();
    looking = Promise.resolve()
      .then(look)
      .then((value) => {
        last = { value, at: now() };
      })
      // Until the next look the last value serves.
      .catch(() => {})
      .finally(() => {
        looking = undefined;
      });
  };
  return async () => {
    if (!looking && now() - lookedAt >= everyMs) begin();
    if (looking) await settledWithin(waitMs, looking);
    return last && now() - last.at < keepMs ? last.value : undefined;
  };
}
