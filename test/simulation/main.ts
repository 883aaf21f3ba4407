/** `npm run simulate -- [--seed S] [--path P] [--runs N] [--minutes M]`: random histories for as long as asked. */
import { parseArgs } from 'node:util';
import { type Check, check, type Totals } from './check.ts';
import { simulate } from './world.ts';

/** Each batch has a seed of its own, so that a long run is made of short ones that can be repeated. */
const BATCH = 500;

const { values: flags } = parseArgs({
  options: {
    seed: { type: 'string' },
    path: { type: 'string' },
    runs: { type: 'string', default: '5000' },
    minutes: { type: 'string' },
  },
});

const first = flags.seed === undefined ? Date.now() % 2 ** 31 : Number(flags.seed);
const until = flags.minutes === undefined ? undefined : Date.now() + Number(flags.minutes) * 60_000;
const runs = until === undefined ? Number(flags.runs) : Number.POSITIVE_INFINITY;
const wrong = [first, runs, until ?? 0].some(Number.isNaN);

if (wrong) {
  console.error('simulate: --seed, --runs and --minutes take numbers');
  process.exitCode = 2;
} else process.exitCode = (await go()) ? 0 : 1;

/** True when every history kept every rule. */
async function go(): Promise<boolean> {
  if (flags.path !== undefined) return one({ runs: BATCH, seed: first, path: flags.path });
  const sum: Totals = { histories: 0, steps: 0, ms: 0, performs: 0 };
  const began = Date.now();
  for (let seed = first; sum.histories < runs && Date.now() < (until ?? Number.POSITIVE_INFINITY); seed++) {
    if (!(await one({ runs: Math.min(BATCH, runs - sum.histories), seed }, sum))) return false;
    console.log(`seed ${seed} kept · ${shown(sum)} · ${Math.round((Date.now() - began) / 1000)} s`);
  }
  return true;
}

async function one(batch: Check, sum?: Totals): Promise<boolean> {
  const { broken, totals } = await check(batch);
  if (sum) for (const key of Object.keys(sum) as (keyof Totals)[]) sum[key] += totals[key];
  if (!broken) {
    if (!sum) console.log('kept: that history breaks no rule');
    return true;
  }
  const { trace } = await simulate(broken.history, { traced: true });
  console.log(trace.join('\n'));
  console.log(JSON.stringify(broken.history, null, 2));
  for (const { rule, what } of broken.violations) console.log(`BROKEN ${rule}: ${what}`);
  console.log(`again: npm run simulate -- --seed ${batch.seed} --path ${broken.path}`);
  return false;
}

function shown({ histories, steps, ms, performs }: Totals): string {
  return `${histories} histories, ${steps} events, ${performs} runs, ${(ms / 3_600_000).toFixed(1)} h of their time`;
}
