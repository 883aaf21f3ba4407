/**
 * `node --import tsx test/simulation/seeds.ts`: for each mutation the seed of those tried that catches it soonest. To be
 * entered in mutations.ts where a change of the histories has made mutants.test.ts slow.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Catch } from './hunt.ts';
import { hunted, plantAll } from './mutants.ts';
import { mutations } from './mutations.ts';

const SEEDS = 60;
const HISTORIES = 25;
const SOON = 6;

const home = mkdtempSync(join(process.cwd(), '.run', 'seeds-'));
plantAll(home);
const best = mutations.map(({ name }, index) => ({
  name,
  index,
  seed: 0,
  histories: Number.POSITIVE_INFINITY,
}));
for (let seed = 1; seed <= SEEDS; seed++) {
  const open = best.filter(({ histories }) => histories > SOON);
  if (open.length === 0) break;
  const found = await hunted(
    home,
    HISTORIES,
    open.map(({ index }) => ({ index, seed })),
  );
  for (const [at, one] of found.entries()) note(open[at], seed, one);
}
rmSync(home, { recursive: true });
for (const { seed, histories, name } of best) console.log(`seed ${seed}: ${histories} histories, ${name}`);

function note(entry: (typeof best)[number] | undefined, seed: number, { rule, histories }: Catch): void {
  if (!entry || !rule || !mutations[entry.index]?.breaks.includes(rule)) return;
  if (histories < entry.histories) Object.assign(entry, { seed, histories });
}
