/** Story 2: order 66. A backlog grows, and the worker is restarted now. */
import { setTimeout as tick } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Client, createClient } from '../../src/index.ts';
import { Order66 } from '../../workers/order-66.ts';
import { amqpUrl } from '../support/broker.ts';
import { Ledger } from '../support/ledger.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';
import { type Program, queueHealth, startWorker } from './support.ts';

const CONCURRENCY = 20;
const PER_SECOND = 20;
const SECONDS_EACH = 3;
/** Of those that are to be under way when something else happens, however slow the machine is about it. */
const SECONDS_LONG = 12;
const MOST_JOBS = 100;

describe('order 66', () => {
  let namespace: TestNamespace;
  let ledger: Ledger;
  let client: Client;
  let accepted: Set<string>;
  /** The worker that comes after the deploy. */
  let next: Program | undefined;

  beforeEach(async () => {
    namespace = testNamespace();
    ledger = new Ledger();
    accepted = new Set();
    client = await createClient({ url: amqpUrl(), namespace: namespace.name });
  });
  afterEach(async () => {
    await next?.[Symbol.asyncDispose]();
    next = undefined;
    await client.close();
    await namespace.remove();
    ledger.remove();
  });

  const worker = (concurrency = CONCURRENCY, grace = '30s') =>
    startWorker({
      url: amqpUrl(),
      namespace: namespace.name,
      queues: [`order-66:${concurrency}`],
      grace,
    });

  const send = async (count: number, seconds = SECONDS_EACH) => {
    const payload = { ledger: ledger.path, seconds };
    for (const { id } of await client.enqueueMany(Order66, Array(count).fill(payload))) accepted.add(id);
  };

  /** 20 a second. It goes on through the deploy, but on a slow machine not for ever. */
  async function load(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && accepted.size < MOST_JOBS) {
      await send(PER_SECOND / 4);
      await tick(250);
    }
  }

  const red = ({ url }: Program) =>
    until(async () => (await fetch(`${url}/readyz`)).status === 503, {
      within: SECONDS_LONG * 1000,
      what: 'readiness to turn red',
    });

  const allDone = () =>
    until(() => ledger.tally(accepted).lost.length === 0, {
      within: 60_000,
      what: 'every accepted job to be done',
    });

  it('a restart at peak loses nothing, runs nothing twice and spends no attempt', async () => {
    await using old = await worker();
    // It keeps the old one draining long enough for a look at its readiness.
    await send(1, SECONDS_LONG);
    const peak = new AbortController();
    const loading = load(peak.signal);
    await until(
      async () => accepted.size >= 50 && (await queueHealth(old.url, 'order-66')).running === CONCURRENCY,
      {
        what: 'a full worker with a backlog',
      },
    );

    old.process.kill('SIGTERM');
    await red(old);
    const since = Date.now();
    const [ending] = await Promise.all([old.process.ended(), startNext()]);

    expect(ending).toEqual({ code: 0, signal: null });
    expect(ledger.starts().filter(({ pid, at }) => pid === old.process.pid && at > since)).toEqual([]);
    await allDone();
    expect(ledger.tally(accepted)).toMatchObject({ lost: [], startedAgain: [], doneAgain: [], unasked: [] });
    expect(ledger.starts().filter(({ attempt }) => attempt !== 1)).toEqual([]);

    /** The new instance comes up while the old one drains, and the load goes on meanwhile. */
    async function startNext() {
      next = await worker();
      peak.abort();
      await loading;
    }
  }, 240_000);

  it('jobs too long for the grace period stop on their signal and go back unspent', async () => {
    await using old = await worker(CONCURRENCY, '1s');
    await send(2 * CONCURRENCY, SECONDS_LONG);
    await until(() => ledger.starts().length >= CONCURRENCY, { what: 'a full worker' });

    const ordered = Date.now();
    old.process.kill('SIGTERM');
    // Nothing is lost, but an operator should know that begun work was cut short.
    expect(await old.process.ended()).toEqual({ code: 3, signal: null });
    expect(Date.now() - ordered).toBeLessThan(SECONDS_LONG * 1000);
    expect(ledger.finishes()).toEqual([]);
    expect(ledger.starts()).toHaveLength(CONCURRENCY);

    // All at once, so that they take their time once only.
    next = await worker(2 * CONCURRENCY);
    await allDone();
    expect(ledger.tally(accepted)).toMatchObject({ lost: [], doneAgain: [] });
    expect(ledger.starts().filter(({ attempt }) => attempt !== 1)).toEqual([]);
  }, 240_000);

  it('a second signal stops at once, and loses nothing either', async () => {
    await using old = await worker();
    await send(CONCURRENCY, SECONDS_LONG);
    await until(() => ledger.starts().length === CONCURRENCY, { what: 'a full worker' });
    old.process.kill('SIGTERM');
    await red(old);

    const again = Date.now();
    old.process.kill('SIGTERM');
    expect(await old.process.ended()).toEqual({ code: 128 + 15, signal: null });
    expect(Date.now() - again).toBeLessThan(SECONDS_LONG * 1000);
    expect(ledger.finishes()).toEqual([]);

    next = await worker();
    await allDone();
    expect(ledger.tally(accepted)).toMatchObject({ lost: [], doneAgain: [] });
  }, 240_000);
});
