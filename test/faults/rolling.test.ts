/** A short rolling deploy. The long one, and more: `npm run faults -- rolling supervis`. */
import { expect, it } from '@jest/globals';
import { sharedGround } from './ground.ts';
import { play } from './play.ts';
import { rows } from './rows.ts';
import { QUICK } from './stage.ts';

it('six restarts of two workers under load: nothing lost, nothing run twice, no attempt spent', async () => {
  const row = rows.find(({ name }) => name === 'rolling-deploy');
  if (!row) throw new Error('no such row');
  const verdict = await play(row, sharedGround(), QUICK);
  expect(verdict).toMatchObject({ problems: [], lost: 0, waiting: 0, startedTwice: 0, finishedTwice: 0 });
  expect(verdict.done).toBeGreaterThan(2 * QUICK.done);
}, 400_000);
