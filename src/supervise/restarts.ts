/** When a worker that died is started again, and when no more. Pure. */
import { constants } from 'node:os';
import type { Death } from './worker-process.ts';

/** What is known of one worker over all its processes. */
export interface Record {
  /** How often it was started again. */
  readonly restarts: number;
  /** Deaths since it last ran well. */
  readonly streak: number;
  /** Deaths in a row before it had begun to consume. */
  readonly stillborn: number;
}

export const NEW: Record = { restarts: 0, streak: 0, stillborn: 0 };

/** Who lived so long (ms) ran well: its next death is the first of a new series. */
export const RAN_WELL_MS = 60_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
/** From the third death of a series on, a worker restarts in a loop. */
const LOOP = 3;
/** So many stillborn in a row, of every worker, are taken for a fault that no restart mends. */
export const MOST_STILLBORN = 5;

/** Configuration, topology, command line: the next process would find the same. */
const HOPELESS: readonly number[] = [78, 3, 2];
const UNREACHABLE = 4;

export function afterDeath(record: Record, { uptimeMs, begun }: Pick<Death, 'uptimeMs' | 'begun'>): Record {
  const ranWell = begun && uptimeMs >= RAN_WELL_MS;
  return {
    restarts: record.restarts + 1,
    streak: ranWell ? 1 : record.streak + 1,
    stillborn: begun ? 0 : record.stillborn + 1,
  };
}

/** How long the next start waits, in ms: doubled with each death of a series, up to 30 s, the half of it by lot. */
export function waitBefore({ streak }: Record, random: () => number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (streak - 1));
  return longest / 2 + (random() * longest) / 2;
}

export function isLoop({ streak }: Record): boolean {
  return streak >= LOOP;
}

/**
 * Whether starting again is pointless: nothing ever ran and the exit code names a cause that stays, or every worker
 * dies at its start again and again. `everBegun`: some worker had begun to consume since the supervisor started; then
 * a broker that is away is waited for, as a single worker does.
 */
export function isHopeless(death: Death, records: readonly Record[], everBegun: boolean): boolean {
  const { code, begun } = death;
  if (begun) return false;
  if (code === UNREACHABLE) return !everBegun;
  const telling = code !== null && HOPELESS.includes(code);
  return (telling && !everBegun) || allStillborn(records);
}

function allStillborn(records: readonly Record[]): boolean {
  return records.every(({ stillborn }) => stillborn >= MOST_STILLBORN);
}

/** As a shell says it; a process that could not be started failed. */
export function codeOf({ code, signal }: Pick<Death, 'code' | 'signal'>): number {
  return code ?? (signal ? 128 + constants.signals[signal] : 1);
}

/** 0 drained, then 3 jobs given back, then 1 failed, then whatever is higher. */
export function worstOf(codes: readonly number[]): number {
  const rank = (code: number) => ({ 0: 0, 3: 1, 1: 2 })[code] ?? code + 2;
  return codes.reduce((worst, code) => (rank(code) > rank(worst) ? code : worst), 0);
}
