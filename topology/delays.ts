/** Delay rungs: which `delayed-X` queues there are, and which of them, or which levels, a wait goes to. Pure. */
import { LONGEST_LEVELS_S, levelSeconds } from './levels.ts';

/** The rungs of some retry policies together: each delay once, shortest first. A wait of 0 needs no rung. */
export function rungsOf(delays: Iterable<number>): number[] {
  return [...new Set([...delays].filter((ms) => ms > 0))].sort((a, b) => a - b);
}

/**
 * The shortest rung that is not shorter than `ms`, so that nothing comes back early;
 * the longest one when all are shorter; undefined when there are none.
 */
export function rungFor(ms: number, rungs: readonly number[]): number | undefined {
  return rungs.find((rung) => rung >= ms) ?? rungs.at(-1);
}

/** Where a wait is held: nowhere, on the rung of so many ms, or on the levels for so many seconds. */
export type Way = { rung: number } | { seconds: number } | undefined;

/**
 * What a policy asks for has a rung of its own and goes there. Anything else goes where it waits the least
 * without being early: a rung is one hop, but it may be far too long.
 */
export function wayOf(ms: number, rungs: readonly number[], levels: boolean): Way {
  if (ms <= 0) return undefined;
  const rung = rungFor(ms, rungs);
  const seconds = levelSeconds(ms);
  const isLong = rung === undefined || rung < ms || rung > seconds * 1000;
  if (levels && isLong && seconds <= LONGEST_LEVELS_S) return { seconds };
  return rung === undefined ? undefined : { rung };
}
