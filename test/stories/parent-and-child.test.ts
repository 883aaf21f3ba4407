/** Story 3: parent and child. SIGTERM to the parent reaches the children, and nothing is lost on the way. */
import { setTimeout as tick } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { alive } from '../support/alive.ts';
import { amqpUrl } from '../support/broker.ts';
import { Family } from '../support/family.ts';
import { Ledger } from '../support/ledger.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';
import { ready } from './support.ts';

const CHILDREN = 3;
const CONCURRENCY = 5;
const JOB_MS = 400;
/** More a second than the children can run: there is a backlog when the signal comes. */
const BATCH = 6;
const EVERY_MS = 100;
const MOST_JOBS = 400;
/** Far more than a busy machine needs for an end that does not wait for it. */
const GRACE_MS = 60_000;

describe('parent and child', () => {
  let namespace: TestNamespace;
  let ledger: Ledger;
  let client: Client;
  let accepted: Set<string>;

  beforeEach(async () => {
    namespace = testNamespace();
    ledger = new Ledger();
    accepted = new Set();
    client = await createClient({ url: amqpUrl(), namespace: namespace.name });
  });
  afterEach(async () => {
    await client.close();
    await namespace.remove();
    ledger.remove();
  });

  const family = () =>
    Family.start({
      ...{ url: amqpUrl(), namespace: namespace.name, ledger: ledger.path },
      ...{ processes: CHILDREN, concurrency: CONCURRENCY, grace: `${GRACE_MS}ms` },
    });

  /** Goes on through the parent's end. */
  async function load(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && accepted.size < MOST_JOBS) {
      const jobs = Array.from({ length: BATCH }, () =>
        client.enqueue('FamilyJob', { ms: JOB_MS }, { queue: 'family' }),
      );
      for (const { id } of await Promise.all(jobs)) accepted.add(id);
      await tick(EVERY_MS);
    }
  }

  const busy = () =>
    until(
      () =>
        ledger.starts().length - ledger.finishes().length === CHILDREN * CONCURRENCY && accepted.size > 50,
      { what: 'children with all hands full, and a backlog' },
    );

  /** Every id that was begun is finished, once, at its first attempt; nobody began two times. */
  function expectNothingTwice(): void {
    expect(ledger.tally(accepted)).toMatchObject({ startedAgain: [], doneAgain: [], unasked: [] });
    expect(ledger.entries.filter(({ attempt }) => attempt !== 1)).toEqual([]);
  }

  it('SIGTERM to the parent alone: no job lost, none run twice, none begun again, children first', async () => {
    const feeding = new AbortController();
    await using first = await family();
    const children = await first.pids();
    const loading = load(feeding.signal);
    await busy();

    const ordered = Date.now();
    first.parent.kill('SIGTERM');
    const ending = await first.parent.ended();
    const took = Date.now() - ordered;
    const left = children.filter(alive);
    feeding.abort();
    await loading;

    expect(ending).toEqual({ code: 0, signal: null });
    expect(left).toEqual([]);
    expect(first.parent.lines.at(-1)).toContain('supervisor stopped');
    // They finished what they ran, and waited for nothing else.
    expect(took).toBeLessThan(GRACE_MS / 2);
    expect(new Set(ledger.finishes().map(({ pid }) => pid))).toEqual(new Set(children));
    expectNothingTwice();
    const { done, lost } = ledger.tally(accepted);
    expect(ledger.starts()).toHaveLength(done);
    // The broker gives back at once what was delivered and not begun; counting it is what takes a moment.
    await until(async () => (await ready(amqpUrl(), namespace.of('family'))) === lost.length, {
      what: `${lost.length} jobs that wait, of ${accepted.size}`,
    });

    await using second = await family();
    await until(() => ledger.tally(accepted).lost.length === 0, {
      within: 40_000,
      what: 'every job to be done',
    });
    expectNothingTwice();
    second.parent.kill('SIGTERM');
    expect(await second.parent.ended()).toEqual({ code: 0, signal: null });
    process.stdout.write(
      `accepted ${accepted.size}, done before the parent's end ${done}, waiting ${lost.length}, lost 0, run twice 0\n`,
    );
  }, 240_000);
});
