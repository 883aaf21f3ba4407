/**
 * Schedules while things break: exactly one run for each tick, whoever dies. Seconds-cron, so that a short test has
 * many ticks; `npm run faults:time` does it at full length on each RabbitMQ series.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect, it } from '@jest/globals';
import { amqpUrl, series, startPrivateBroker, untilNewQueuesSurvive } from '../support/broker.ts';
import { type CronResult, type CronRun, startCronRun } from '../support/cron.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const FULL = process.env.WARREN_FAULTS === 'full';
const KILLS = FULL ? 200 : 8;
const RESTARTS = FULL ? 10 : 1;

interface Row extends CronResult {
  what: string;
}
const rows: Row[] = [];

afterAll(() => {
  const lines = rows.map(
    ({ what, ticks, once, twice, never }) =>
      `| ${[what, series, ticks, once, twice.length, never.length].join(' | ')} |`,
  );
  const head = [
    '| what was broken | RabbitMQ | ticks | run once | run twice | not run |',
    '|---|---|--:|--:|--:|--:|',
  ];
  process.stdout.write(`\n${[...head, ...lines].join('\n')}\n\n`);
});

/**
 * A tick may still be on its way when a later one is done; for longer than 180 s only where it is lost: so long RabbitMQ
 * waits with what it could not pass on when it started.
 */
async function expectOnce(what: string, run: CronRun, atLeast: number, schedule = ''): Promise<void> {
  await until(() => run.result(schedule).never.length === 0, { what: 'every tick', within: 240_000 }).catch(
    () => {},
  );
  const result = run.result(schedule);
  rows.push({ what, ...result });
  expect(result).toMatchObject({ twice: [], never: [] });
  expect(result.once).toBe(result.ticks);
  expect(result.ticks).toBeGreaterThanOrEqual(atLeast);
}

/** Now, and some ms after the next whole second. */
async function aroundTick(offset: number): Promise<void> {
  const now = Date.now();
  await pause(Math.max(0, Math.ceil((now + 50) / 1000) * 1000 + offset - now));
}

const lastTick = () => Math.floor(Date.now() / 1000) * 1000;

it(`lets each tick go once while its leader is SIGKILLed ${KILLS} times around its ticks`, async () => {
  await using space = testNamespace();
  await using run = startCronRun({ url: amqpUrl(), namespace: space.name });
  for (let waiting = 0; waiting < 3; waiting++) run.lead();
  for (let kill = 0; kill < KILLS; kill++) {
    const leader = await run.untilLed();
    // Every other one dies before it has let anything go; if all did, a busy machine would never come to a tick.
    if (kill % 2) await until(() => leader.ticks > 0, { what: 'a tick', within: 60_000, every: 5 });
    // From before the tick to after the next one is armed.
    await aroundTick(-10 + (kill % 25) * 2);
    leader.process.kill('SIGKILL');
    run.lead();
  }
  await run.untilLed();
  await run.untilTick(lastTick());
  await expectOnce(`leader SIGKILLed ${KILLS} times`, run, KILLS);
}, 900_000);

it('lets each tick go once while the broker is killed and comes back across ticks', async () => {
  const broker = await startPrivateBroker();
  try {
    await using run = startCronRun({ url: broker.url });
    for (let waiting = 0; waiting < 2; waiting++) run.lead();
    await run.untilLed();
    await untilNewQueuesSurvive(broker);
    await run.untilTick(0);
    for (let restart = 0; restart < RESTARTS; restart++) {
      await aroundTick(-4 + restart * 2);
      await broker.kill();
      await broker.start();
      await run.untilLed();
      await run.untilTick(lastTick() - 1000);
    }
    await run.untilTick(lastTick() + 1000);
    await expectOnce(`broker SIGKILLed ${RESTARTS} times`, run, RESTARTS * 3);
  } finally {
    await broker.remove();
  }
}, 900_000);

// Two minutes of waiting, so at full length only.
if (FULL)
  it('lets each tick go once while clocks are five seconds off and leaders change', clocksOff, 900_000);

async function clocksOff(): Promise<void> {
  await using space = testNamespace();
  await using run = startCronRun({ url: amqpUrl(), namespace: space.name });
  for (const clock of [5000, 0, -5000, 0, 5000, -5000, 0]) {
    const next = run.lead({ clock });
    const leader = await run.untilLed();
    if (leader !== next) leader.process.kill('SIGKILL');
    await pause(12_000);
  }
  // What the fast clock let go early the slow one must not let go again when its own time comes.
  await run.untilTick(run.last() + 4_000);
  await expectOnce('clocks 5 s off, leaders change', run, 6);
}

it('lets each tick go once in a rolling deploy with other schedules', async () => {
  await using space = testNamespace();
  await using run = startCronRun({ url: amqpUrl(), namespace: space.name });
  const before = [
    { name: 'same', expression: '* * * * * *', missed: 'all' },
    { name: 'changed', expression: '1-59/2 * * * * *' },
    { name: 'old', expression: '* * * * * *' },
  ];
  const after = [
    { name: 'same', expression: '* * * * * *', missed: 'all' },
    { name: 'changed', expression: '*/2 * * * * *' },
    { name: 'new', expression: '* * * * * *', missed: 'all' },
  ];
  const old = [run.lead({ cron: before }), run.lead({ cron: before }), run.lead({ cron: before })];
  await run.untilLed();
  await run.untilTick(0, '#same');
  for (const [index, one] of old.entries()) {
    run.lead({ cron: after });
    await pause(FULL ? 5_000 : 2_000);
    one.process.kill(index % 2 ? 'SIGTERM' : 'SIGKILL');
    if (index % 2) await one.process.ended();
  }
  await run.untilLed();
  const deployed = lastTick() + 1000;
  await run.untilTick(deployed + 3000, '#new');
  // It begins when the last leader first knows it, which on a busy machine may be later.
  await until(() => run.result('#new').ticks >= 3, { what: 'three ticks of the new one', within: 60_000 });
  await expectOnce('two versions: schedule in both', run, 4, '#same');
  for (const schedule of ['#changed', '#old', '#new']) expect(run.result(schedule).twice).toEqual([]);
  await expectOnce('two versions: schedule of the new one', run, 3, '#new');
  const late = run.ledger
    .finishes()
    .filter(({ id }) => Date.parse(id.split(':').slice(2).join(':')) > deployed);
  expect(late.filter(({ id }) => id.includes('#old'))).toEqual([]);
  expect(late.filter(({ id }) => id.includes('#changed') && /[13579]Z$/.test(id))).toEqual([]);
}, 900_000);
