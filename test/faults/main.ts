/** `npm run faults`: plays every fault on every series, prints the table, and fails when a row is red. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import type { Series } from '../support/broker.ts';
import { clusterGround, type Ground, privateGround } from './ground.ts';
import type { Verdict } from './oracle.ts';
import { play } from './play.ts';
import { rows } from './rows.ts';
import type { Scenario } from './scenario.ts';
import { FULL, QUICK, type Size } from './stage.ts';
import { tableOf } from './table.ts';

const USAGE = `usage: npm run faults [-- FAULT …] [-- --series 3.10|4.3|cluster|all] [--quick]
                              [--json FILE] [--write] [--list]
A FAULT is a name or its beginning: "net" plays net-cut, net-stall, … --write puts the tables into docs/reliability.md.`;

type Place = Series | 'cluster';
const PLACES: readonly Place[] = ['3.10', '4.3', 'cluster'];

interface Played {
  place: Place;
  name: string;
  what: string;
  verdict: Verdict;
  seconds: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    series: { type: 'string', default: 'all' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const grounds = new Set<Ground>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void interrupted());
const size: Size = values.quick ? QUICK : FULL;
process.exitCode = await main();

async function main(): Promise<number> {
  const wanted = rows.filter(
    ({ name }) => positionals.length === 0 || positionals.some((p) => name.startsWith(p)),
  );
  if (values.help || wanted.length === 0) {
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  if (values.list) {
    for (const { name, what } of wanted) console.log(`${name.padEnd(24)} ${what}`);
    return 0;
  }
  const began = Date.now();
  const played = await playAll(wanted);
  report(played, began);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(played, null, 2)}\n`);
  return played.every(({ verdict }) => verdict.problems.length === 0) ? 0 : 1;
}

/** Nodes have process groups of their own, and would stay for ever. (Workers: see the crew.) */
async function interrupted(): Promise<void> {
  for (const ground of grounds) await ground[Symbol.asyncDispose]();
  process.exit(130);
}

async function open(place: Place): Promise<Ground> {
  const ground = await (place === 'cluster' ? clusterGround() : privateGround(place));
  grounds.add(ground);
  return ground;
}

async function leave(ground: Ground): Promise<void> {
  grounds.delete(ground);
  await ground[Symbol.asyncDispose]();
}

/** The two series at the same time, then the cluster: it alone has three nodes. */
async function playAll(wanted: readonly Scenario[]): Promise<Played[]> {
  const asked = values.series === 'all' ? PLACES : [values.series as Place];
  const single = asked.filter((place) => place !== 'cluster');
  const played = await Promise.all(single.map((series) => playOn(series, wanted)));
  if (asked.includes('cluster')) played.push(await playOn('cluster', wanted));
  return played.flat();
}

async function playOn(place: Place, wanted: readonly Scenario[]): Promise<Played[]> {
  const here = wanted.filter(
    ({ needs, series }) =>
      (needs === 'cluster') === (place === 'cluster') && (series?.includes(place as Series) ?? true),
  );
  const lanes = [here.filter(({ slow }) => slow), here.filter(({ slow }) => !slow)];
  const played = (await Promise.all(lanes.map((lane) => playInTurn(place, lane)))).flat();
  return here.flatMap(({ name }) => played.filter((one) => one.name === name));
}

async function playInTurn(place: Place, lane: readonly Scenario[]): Promise<Played[]> {
  const played: Played[] = [];
  let ground: Ground | undefined;
  for (const scenario of lane) {
    ground ??= await open(place);
    const one = await playOne(place, scenario, ground);
    played.push(one);
    if (one.verdict.problems.length === 0) continue;
    // What went wrong may have been left to the next.
    await leave(ground);
    ground = undefined;
  }
  if (ground) await leave(ground);
  return played;
}

async function playOne(place: Place, scenario: Scenario, ground: Ground): Promise<Played> {
  const began = Date.now();
  const verdict = await play(scenario, ground, size).catch(brokenOff);
  const seconds = (Date.now() - began) / 1000;
  const { name, what } = scenario;
  console.error(`${place} ${name}: ${verdict.problems.join('; ') || 'green'} (${seconds.toFixed(0)} s)`);
  return { place, name, what, verdict, seconds };
}

function brokenOff(error: Error): Verdict {
  const none = { accepted: 0, refused: 0, done: 0, dead: 0, waiting: 0, parked: 0, deleted: 0 };
  const problems = [`could not be played: ${error.stack}`];
  return { ...none, startedTwice: 0, finishedTwice: 0, lost: 0, healSeconds: undefined, problems };
}

function report(played: readonly Played[], began: number): void {
  const red = played.filter(({ verdict }) => verdict.problems.length > 0);
  const minutes = ((Date.now() - began) / 60_000).toFixed(0);
  const run = `${played.length} faults in ${minutes} minutes on ${cpus().length} cores, Node ${process.version}: ${red.length} red`;
  const tables = [...new Set(played.map(({ place }) => place))].map((place) => section(place, played));
  console.log(`\n${tables.join('\n\n')}\n\n${run}`);
  for (const { place, name, verdict } of red)
    for (const problem of verdict.problems) console.log(`- ${place} ${name}: ${problem}`);
  if (values.write)
    writeTables(`${new Date().toISOString().slice(0, 10)}: ${run}.\n\n${tables.join('\n\n')}`);
}

function section(place: Place, played: readonly Played[]): string {
  const title = place === 'cluster' ? 'Three nodes of RabbitMQ 4.3' : `RabbitMQ ${place}`;
  return `#### ${title}\n\n${tableOf(played.filter((one) => one.place === place))}`;
}

function writeTables(text: string): void {
  const page = new URL('../../docs/reliability.md', import.meta.url);
  const [before, rest = ''] = readFileSync(page, 'utf8').split('<!-- faults:begin -->');
  const [, after] = rest.split('<!-- faults:end -->');
  writeFileSync(page, `${before}<!-- faults:begin -->\n${text}\n<!-- faults:end -->${after}`);
}
