/**
 * A deploy at peak. Enqueues 20 jobs a second, three seconds each, and counts what became of them.
 *
 *   . .run/broker                                    where bin/dev has its broker (or set AMQP_URL)
 *   WARREN_QUEUES=order-66:20 bin/hard_worker        the worker, 20 at once: it can't keep up, a backlog grows
 *   npx tsx examples/order-66.ts [SECONDS]           this load, 15 seconds unless told otherwise
 *   kill -TERM <the worker>                          Order 66. Start it again when you like
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient } from 'warren';
import { Order66 } from '../workers/order-66.ts';

const PER_SECOND = 20;
const GIVE_UP_AFTER_MS = 120_000;

const seconds = Number(process.argv[2] ?? 15);
if (!(seconds > 0)) {
  console.error('usage: npx tsx examples/order-66.ts [SECONDS]');
  process.exit(2);
}
const ledger = resolve(`.run/order-66-${Date.now()}.jsonl`);
mkdirSync(resolve('.run'), { recursive: true });

const accepted = await load();
const { done, twice } = await finish(accepted);
const lost = [...accepted].filter((id) => !done.has(id)).length;
console.log(`\naccepted ${accepted.size}, done ${done.size}, lost ${lost}, run twice ${twice}`);
process.exit(lost + twice > 0 ? 1 : 0);

/** The ids that the broker has confirmed. One that was refused is told to the caller, so it is not lost. */
async function load(): Promise<Set<string>> {
  const client = await createClient();
  const ids = new Set<string>();
  const enqueues: Promise<void>[] = [];
  for (let n = 0; n < seconds * PER_SECOND; n++) {
    enqueues.push(
      client.enqueue(Order66, { ledger }).then(
        ({ id }) => void ids.add(id),
        (error) => console.error(`\nrefused: ${error.message}`),
      ),
    );
    await wait(1000 / PER_SECOND);
    show(ids.size, runs());
  }
  await Promise.all(enqueues);
  await client.close();
  return ids;
}

/** Waits until all are done, or until nothing has moved for two minutes: what is missing then is lost. */
async function finish(ids: Set<string>): Promise<Runs> {
  let [before, since] = [-1, Date.now()];
  for (;;) {
    const now = runs();
    const moved = now.started + now.done.size;
    if (moved !== before) [before, since] = [moved, Date.now()];
    show(ids.size, now);
    if (now.done.size >= ids.size || Date.now() - since > GIVE_UP_AFTER_MS) return now;
    await wait(250);
  }
}

interface Runs {
  started: number;
  done: Set<string>;
  twice: number;
}

/** What the jobs have written down: which started, which are done, and how many were started more than once. */
function runs(): Runs {
  const starts = new Map<string, number>();
  const done = new Set<string>();
  for (const line of lines()) {
    const { id, what } = JSON.parse(line) as { id: string; what: string };
    if (what === 'start') starts.set(id, (starts.get(id) ?? 0) + 1);
    else done.add(id);
  }
  return { started: starts.size, done, twice: [...starts.values()].filter((times) => times > 1).length };
}

function lines(): string[] {
  if (!existsSync(ledger)) return []; // no job has run yet
  return readFileSync(ledger, 'utf8').split('\n').slice(0, -1);
}

function show(accepted: number, { started, done }: Runs) {
  if (!process.stdout.isTTY) return;
  process.stdout.write(`\raccepted ${accepted} · running ${started - done.size} · done ${done.size}   `);
}
