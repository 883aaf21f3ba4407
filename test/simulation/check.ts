/** Random histories until one breaks a rule, which is then made as small as it can be. */
import fc from 'fast-check';
import { type History, history } from './history.ts';
import type { Violation } from './ledger.ts';
import { simulate } from './world.ts';

export interface Check {
  runs: number;
  /** Of fast-check; with `path` it replays one history. */
  seed: number;
  path?: string | undefined;
  /** Default: on. Without it the first history that breaks a rule is the answer. */
  shrink?: boolean;
  /** Called after each history. */
  onRun?(totals: Totals): void;
}

export interface Totals {
  histories: number;
  /** Events, ms of simulated time, runs of `perform`. */
  steps: number;
  ms: number;
  performs: number;
}

export interface Verdict {
  totals: Totals;
  /** Undefined when every history kept every rule. */
  broken?: { history: History; violations: readonly Violation[]; path: string; after: number };
}

export async function check({ runs, seed, path, shrink = true, onRun }: Check): Promise<Verdict> {
  const totals: Totals = { histories: 0, steps: 0, ms: 0, performs: 0 };
  const property = fc.asyncProperty(history, async (one) => {
    const { violations, steps, ms, runs: performs } = await simulate(one);
    totals.histories++;
    totals.steps += steps;
    totals.ms += ms;
    totals.performs += performs;
    onRun?.(totals);
    return violations.length === 0;
  });
  const replay = path === undefined ? {} : { path };
  const found = await fc.check(property, { numRuns: runs, seed, endOnFailure: !shrink, ...replay });
  if (!found.failed || !found.counterexample) return { totals };
  const [smallest] = found.counterexample;
  const { violations } = await simulate(smallest);
  return {
    totals,
    broken: { history: smallest, violations, path: found.counterexamplePath ?? '0', after: found.numRuns },
  };
}
