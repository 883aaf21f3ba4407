/** One fault from its beginning to its verdict. */
import type { Ground } from './ground.ts';
import { judge, type Verdict } from './oracle.ts';
import type { Scenario } from './scenario.ts';
import { type Size, Stage } from './stage.ts';

export async function play(scenario: Scenario, ground: Ground, size: Size): Promise<Verdict> {
  await scenario.prepare?.(ground);
  await using stage = await Stage.open(scenario, ground, size);
  await stage.underLoad();
  await scenario.strike(stage);
  await scenario.mend?.(stage);
  await stage.heal(Date.now());
  await stage.finish();
  const verdict = judge(await stage.facts());
  await scenario.after?.(stage);
  if (verdict.problems.length > 0) await stage.keepEvidence();
  return verdict;
}
