/** The faults that need no broker of their own, with fewer jobs. All of them, and more of them: `npm run faults`. */
import { describe, expect, it } from '@jest/globals';
import { sharedGround } from './ground.ts';
import { play } from './play.ts';
import { rows } from './rows.ts';
import { QUICK } from './stage.ts';

/** Two at a time: they wait more than they work, and CI has two cores. */
const PAIRS = [
  ['worker-sigkill', 'net-cut'],
  ['queue-deleted', 'connections-closed'],
  ['retry-not-acked', 'worker-sigterm'],
];

describe('no job is lost, doubled without a cause or charged an attempt by', () => {
  it.each(PAIRS)(
    '%s, %s',
    async (...names) => {
      const wanted = rows.filter(({ name }) => names.includes(name));
      const verdicts = await Promise.all(wanted.map((row) => play(row, sharedGround(), QUICK)));
      expect(wanted).toHaveLength(names.length);
      for (const verdict of verdicts) {
        expect(verdict).toMatchObject({ problems: [], lost: 0, waiting: 0 });
        expect(verdict.done).toBeGreaterThan(2 * QUICK.done);
      }
    },
    400_000,
  );
});
