/** How a grace period is spent. Pure; moments are of performance.now(), in ms. */

export interface GracePlan {
  /** Running jobs are asked to stop. */
  abortAt: number;
  /** Running jobs are given back. */
  endAt: number;
  /** How long settlements may take after that to reach the broker, in ms. */
  settleMs: number;
  /** Everything is closed. */
  closedBy: number;
}

const MOST_CLOSING_MS = 2_000;
const MOST_NOTICE_MS = 5_000;

/** Closing takes its part from the end of the grace period, so that the process is gone when it is over. */
export function planGrace(now: number, graceMs: number): GracePlan {
  const closingMs = Math.min(MOST_CLOSING_MS, graceMs * 0.3);
  const endAt = now + graceMs - closingMs;
  return {
    abortAt: endAt - Math.min(MOST_NOTICE_MS, graceMs * 0.2),
    endAt,
    settleMs: closingMs * 0.6,
    closedBy: endAt + closingMs * 0.9,
  };
}
