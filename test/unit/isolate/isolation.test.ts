/** Runs in children without a broker: suspects, and children that cannot be had. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Broker, Delivery } from '../../../src/broker/broker.ts';
import { jobProperties } from '../../../src/core/envelope.ts';
import { EventBus, type Events } from '../../../src/core/events.ts';
import { readHeaders } from '../../../src/core/headers.ts';
import type { RunResult } from '../../../src/core/outcome.ts';
import { Registry } from '../../../src/core/registry.ts';
import { Isolation } from '../../../src/isolate/isolation.ts';
import type { Patience } from '../../../src/isolate/patience.ts';
import { inheritedFlags } from '../../../src/isolate/process-child.ts';
import type { JobLog } from '../../../src/job.ts';
import { loadJobClasses } from '../../../src/load-workers.ts';
import { isSuspect } from '../../../src/run/probation.ts';
import { until } from '../../support/until.ts';
import { holdTime, pass, releaseTime } from '../time.ts';

const FOLDER = 'test/fixtures/isolated';
const registry = new Registry(await loadJobClasses(FOLDER));
const QUIET: JobLog = { debug() {}, info() {}, warn() {}, error() {} };
const limits = { namespace: '', maxPayload: 1e6, deadlineMs: 1000, maxInFlight: 10 };

function delivery(
  job: string,
  payload: unknown,
  more: Partial<Delivery> & { crashes?: unknown } = {},
): Delivery {
  const { crashes, ...rest } = more;
  const properties = jobProperties({ id: 'one', name: job, now: 1 });
  if (crashes !== undefined) properties.headers['warren-crashes'] = crashes;
  const settle = () => true;
  return {
    ...{ body: Buffer.from(JSON.stringify(payload)), properties, exchange: 'jobs', routingKey: 'deeds' },
    ...{
      redelivered: false,
      deliveryCount: undefined,
      live: true,
      ack: settle,
      release: settle,
      reject: settle,
    },
    ...rest,
  };
}

describe('a delivery is suspected', () => {
  it.each([
    ['a first one', {}, false],
    ['one that came back once', { redelivered: true, deliveryCount: 1 }, false],
    ['one that came back twice', { redelivered: true, deliveryCount: 2 }, true],
    ['one of a queue that does not count', { redelivered: true }, false],
    ['a fresh copy after a crash', { crashes: 1 }, true],
    ['a forged mark', { crashes: 'many' }, false],
    ['a forged negative mark', { crashes: -1 }, false],
  ])('%s', (_, more, suspected) => {
    expect(isSuspect(delivery('InlineDeed', {}, more), () => 0)).toBe(suspected);
  });

  it('not for what this process gave back itself', () => {
    const thrice = delivery('InlineDeed', {}, { redelivered: true, deliveryCount: 3 });
    expect([1, 2].map((own) => isSuspect(thrice, () => own))).toEqual([true, false]);
  });
});

describe('a run in a child', () => {
  let open: Isolation | undefined;
  // The children are real, and as slow as the machine; what the parent allows them passes only when a test says so.
  beforeEach(holdTime);
  afterEach(() => {
    open?.close();
    releaseTime();
  });

  function start(
    what: Delivery,
    {
      workers = FOLDER,
      patience,
      probation = true,
    }: { workers?: string; patience?: Partial<Patience>; probation?: boolean } = {},
  ) {
    const bus = new EventBus();
    const failures: Events['child.failed'][] = [];
    bus.on('child.failed', (event) => void failures.push(event));
    const broker = { publish: async () => {} } as Pick<Broker, 'publish'>;
    open = new Isolation(
      { workers, limits, ...(patience && { patience }) },
      { broker, bus, levels: { publish: async () => {} }, logFor: () => QUIET },
    );
    const registration = registry.get(what.properties.type);
    if (!registration) throw new Error('no such job');
    const about = {
      id: 'one',
      queue: 'deeds',
      registration,
      headers: readHeaders(what.properties, 2),
      now: 2,
    };
    const run: Seen = { failures, begun: false, result: undefined };
    open.run(what, about, { probation }).start(
      () => {
        run.begun = true;
      },
      (_, result) => {
        run.result = result;
      },
    );
    return run;
  }

  interface Seen {
    failures: Events['child.failed'][];
    begun: boolean;
    result: RunResult | undefined;
  }

  /** From then on it hears nothing: what tells us is the last that it does before its loop. */
  const loops = (run: Seen) => until(() => run.begun, { within: 80_000, what: 'the loop' });
  const resultOf = (run: Seen) => until(() => run.result, { within: 80_000, what: 'the end of the run' });

  it('on probation whose event loop stands still has crashed: inline it would have cost the connection', async () => {
    const run = start(delivery('InlineDeed', { does: 'loops' }, { crashes: 1 }), {
      patience: { stall: 600 },
    });
    await loops(run);
    await pass(600);
    expect(run.result).toBeUndefined();
    await pass(100);
    const result = await resultOf(run);
    expect(result).toMatchObject({ kind: 'crashed', crashes: 1, most: 1 });
    expect((result as Extract<RunResult, { kind: 'crashed' }>).error.message).toContain('did not answer');
  });

  it('may block as long as it likes where it was told to be alone', async () => {
    const patience = { stall: 300, answer: 500, stop: 5_000 };
    const run = start(delivery('HastyProcess', { does: 'loops' }), { patience });
    await loops(run);
    // Its timeout, and then what a child that was asked to stop has for its answer.
    await pass(999);
    expect(run.result).toBeUndefined();
    await pass(1);
    expect(await resultOf(run)).toMatchObject({ kind: 'timed-out' });
  });

  it('decodes there: bad input is told, and is no run', async () => {
    const bad = { ...delivery('ProcessDeed', {}), body: Buffer.from('{"half') };
    expect(await resultOf(start(bad))).toMatchObject({ kind: 'unfit', reason: 'undecodable' });
  });

  it.each(['ProcessDeed', 'ThreadDeed'])('of a %s too deep to be handed over is bad input', async (job) => {
    const deep = delivery(job, { does: 'nothing' });
    deep.properties.headers.deep = Array.from({ length: 100_000 }).reduce((inner) => [inner], 'deep');
    const run = start(deep, { probation: false });
    expect(await resultOf(run)).toMatchObject({
      ...{ kind: 'unfit', reason: 'undecodable' },
      error: { message: expect.stringMatching(/^its headers cannot be handed to a (process|thread): /) },
    });
    expect([run.begun, run.failures]).toEqual([false, []]);
  });

  it('that finds no child blames nobody', async () => {
    const run = start(delivery('ProcessDeed', { does: 'nothing' }), {
      workers: 'test/fixtures/nowhere',
    });
    expect(await resultOf(run)).toEqual({ kind: 'unstarted' });
    expect(run.failures).toMatchObject([{ kind: 'process', error: { code: 'WARREN_CHILD_START' } }]);
  });

  it('whose class the folder does not export blames nobody', async () => {
    const run = start(delivery('ProcessDeed', { does: 'nothing' }), {
      workers: 'test/fixtures/ticket',
    });
    expect(await resultOf(run)).toEqual({ kind: 'unstarted' });
    expect(run.failures[0]?.error?.message).toContain("'ProcessDeed'");
  });
});

it('hands on the flags of its parent, but no debugging port and no program', () => {
  const flags = [
    '--max-old-space-size=100',
    '--inspect=0',
    '--import',
    './trace.js',
    '-e',
    'run()',
    '--experimental-vm-modules',
  ];
  expect(inheritedFlags(flags)).toEqual(['--max-old-space-size=100', '--import', './trace.js']);
});
