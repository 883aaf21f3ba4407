/** Jobs that take down the process they run in, or never give it back: each in a child of its own. */

import { MAX_CRASHES } from '../load.ts';
import type { Scenario } from '../scenario.ts';

/** Some jobs do it once and are done then, some each time and are parked. */
function poison(how: 'oom' | 'exit' | 'loop'): Scenario['strike'] {
  return async ({ load }) => {
    const times = [1, 1, 1, MAX_CRASHES, MAX_CRASHES];
    // A loop ends at its timeout: a failed attempt, no crash.
    const plan = (often: number) => (how === 'loop' ? { failures: often } : { failures: 0, crashes: often });
    const job = how === 'loop' ? 'LoopJob' : 'PoisonJob';
    await Promise.all(times.map((often) => load.add(job, { how, times: often }, plan(often))));
  };
}

export const isolationRows: readonly Scenario[] = [
  {
    name: 'child-oom',
    what: 'child: five jobs use up its memory, two of them each time',
    // What a child is given to use up; the workers need less.
    env: { NODE_OPTIONS: '--max-old-space-size=100' },
    strike: poison('oom'),
  },
  {
    name: 'child-exit',
    what: 'child: five jobs call `process.exit(0)`, two of them each time',
    strike: poison('exit'),
  },
  {
    name: 'child-loop',
    what: 'child: five jobs loop without end, two of them each time',
    strike: poison('loop'),
  },
];
