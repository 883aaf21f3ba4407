/**
 * For plain Node: `hunt.js RUNS SEED:FOLDER…`. In each folder, which holds a mutant, histories until one breaks a rule.
 * A JSON line each.
 */
import { pathToFileURL } from 'node:url';
import type { check } from './check.ts';
import type { Rule } from './ledger.ts';

export interface Catch {
  /** The rule that broke, and where; undefined when none did. */
  rule?: Rule | undefined;
  what?: string | undefined;
  /** How many histories it took, or were tried. */
  histories: number;
}

const [runs, ...places] = process.argv.slice(2);

for (const place of places) {
  const [seed = '', folder = ''] = place.split(/:(.*)/s);
  const url = pathToFileURL(`${folder}/test/simulation/check.js`).href;
  const mutant = (await import(url)) as { check: typeof check };
  const { broken, totals } = await mutant.check({ runs: Number(runs), seed: Number(seed), shrink: false });
  const { rule, what } = broken?.violations[0] ?? {};
  const line: Catch = { rule, what, histories: totals.histories };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
