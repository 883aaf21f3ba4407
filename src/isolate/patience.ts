/** How long a child may keep one waiting. */

/** How a child is given up, in ms. */
export interface Patience {
  /** From a job's timeout: so long it may take to end by itself, if it answers at all. */
  stop: number;
  /** From a job's timeout: a child that has not answered by then is stuck. */
  answer: number;
  /** A suspect that would run inline, and whose event loop does not answer this long, counts as crashed. */
  stall: number;
}

export const PATIENCE: Patience = { stop: 5_000, answer: 1_000, stall: 60_000 };
