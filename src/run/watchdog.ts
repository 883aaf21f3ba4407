/** Which runs go on for longer than they may. */
import type { Run } from './run.ts';

export interface OverdueRun {
  id: string;
  job: string;
  seconds: number;
  /** Its timeout; of a job without one, how long the broker waits for its ack. */
  limitSeconds: number;
}

/** A child has so long to end by itself, and an inline job may be about to throw. */
const PATIENCE_MS = 5_000;

/** `overran`: their attempt has ended at its timeout, their code has not. */
export function overdueRuns(
  active: Iterable<Run>,
  overran: Iterable<Run>,
  ackTimeoutMs: number,
): OverdueRun[] {
  return [...new Set([...active, ...overran])].flatMap(({ id, registration, durationMs }) => {
    const limitMs = registration.timeoutMs ?? ackTimeoutMs;
    if (durationMs < limitMs + PATIENCE_MS) return [];
    return [{ id, job: registration.name, seconds: durationMs / 1000, limitSeconds: limitMs / 1000 }];
  });
}
