import { describe, expect, it } from '@jest/globals';
import { type AdminChannel, AdminError, type AdminFailure } from '../../../src/broker/broker.ts';
import { TopologyMismatchError } from '../../../src/core/errors.ts';
import {
  applyTopology,
  diffTopology,
  type TopologyBroker,
  verifyTopology,
} from '../../../topology/declarer.ts';
import { namesFor } from '../../../topology/names.ts';
import { planTopology, type QueueSpec, type Topology } from '../../../topology/plan.ts';

const plan = (): Topology => planTopology({ names: namesFor(), queues: [{ name: 'mail' }], delays: [3000] });
const COUNT = 5 + 4;

/** The rules of RabbitMQ that matter here, and a note of everything that was asked. */
class FakeBroker implements TopologyBroker {
  readonly exchanges = new Map<string, Record<string, unknown>>();
  readonly queues = new Map<string, Record<string, unknown>>();
  readonly bindings: string[] = [];
  readonly calls: string[] = [];
  /** Called before each call; throws to refuse it. */
  onCall: (call: string) => void = () => {};
  open = 0;
  mostOpen = 0;

  async admin<T>(use: (channel: AdminChannel) => Promise<T>): Promise<T> {
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    try {
      return await use(this.#channel());
    } finally {
      this.open--;
    }
  }

  #channel(): AdminChannel {
    let dead = false;
    const call = async (words: string, effect: () => void) => {
      if (dead) throw new Error('the channel is gone');
      this.calls.push(words);
      await Promise.resolve();
      try {
        this.onCall(words);
        effect();
      } catch (error) {
        dead = true;
        throw error;
      }
    };
    const counts = { ready: 0, consumers: 0 };
    return {
      checkExchange: (name) => call(`check exchange ${name}`, () => this.#mustBe(this.exchanges, name)),
      checkQueue: (name) =>
        call(`check queue ${name}`, () => this.#mustBe(this.queues, name)).then(() => counts),
      declareExchange: ({ name, type, arguments: args }) =>
        call(`declare exchange ${name}`, () => this.#declare(this.exchanges, name, { type, ...args })),
      declareQueue: (spec) =>
        call(`declare queue ${spec.name}`, () => this.#declareQueue(spec)).then(() => counts),
      bind: ({ exchange, queue, routingKey }) =>
        call(`bind ${queue}`, () => void this.bindings.push(`${exchange} ${routingKey} ${queue}`)),
    } as Partial<AdminChannel> as AdminChannel;
  }

  #mustBe(kind: Map<string, unknown>, name: string): void {
    if (!kind.has(name)) throw refused('missing', `NOT_FOUND - no '${name}'`);
  }

  /** A stream's argument is not looked at on a queue that stands, and refused where it would be made. */
  #declareQueue({ name, arguments: { 'x-max-age': streams, ...args } }: QueueSpec): void {
    if (streams && !this.queues.has(name))
      throw refused('different', `invalid arg 'x-max-age' for queue '${name}'`);
    this.#declare(this.queues, name, args);
  }

  #declare(kind: Map<string, Record<string, unknown>>, name: string, wanted: Record<string, unknown>): void {
    const standing = kind.get(name) ?? wanted;
    kind.set(name, standing);
    for (const argument of new Set([...Object.keys(standing), ...Object.keys(wanted)]))
      if (standing[argument] !== wanted[argument])
        throw refused(
          'different',
          `inequivalent arg '${argument}' for '${name}': received ${words(wanted[argument])} but current is ${words(standing[argument])}`,
        );
  }
}

function words(value: unknown): string {
  return value === undefined ? 'none' : `'${value}'`;
}

function refused(failure: AdminFailure, text: string): AdminError {
  return new AdminError(failure, text);
}

async function applied(): Promise<FakeBroker> {
  const broker = new FakeBroker();
  await applyTopology(broker, plan());
  broker.calls.length = 0;
  return broker;
}

const declarations = ({ calls }: FakeBroker) => calls.filter((call) => !call.startsWith('check'));

describe('diffTopology', () => {
  it('on an empty broker finds everything missing, and only looks', async () => {
    const broker = new FakeBroker();
    const { differences, fine } = await diffTopology(broker, plan());
    expect(differences).toHaveLength(COUNT);
    expect(differences.every(({ state }) => state === 'missing')).toBe(true);
    expect(fine).toEqual([]);
    expect(declarations(broker)).toEqual([]);
  });

  it('tells the items in the order of the plan, and the bindings it cannot see', async () => {
    const broker = await applied();
    broker.queues.delete('mail');
    const diff = await diffTopology(broker, plan());
    expect(diff.differences).toEqual([
      {
        ...{ what: 'queue', name: 'mail', state: 'missing' },
        arguments: plan().queues.find(({ name }) => name === 'mail')?.arguments,
      },
    ]);
    expect(diff.fine.map(({ name }) => name)).toEqual([
      'jobs',
      'jobs.unrouted',
      'jobs.due',
      'jobs.dead',
      'delayed-3s',
      'unrouted',
      'mail.dead',
      'delayed-3s',
    ]);
    expect(diff.uncheckedBindings).toEqual(plan().bindings);
  });

  it('names every argument of a queue that differs, though the broker names one at a time', async () => {
    const broker = await applied();
    broker.queues.set('delayed-3s', {
      'x-queue-type': 'quorum',
      'x-message-ttl': 5000,
      'x-dead-letter-exchange': 'jobs.due',
      'x-expires': 7,
    });
    const { differences } = await diffTopology(broker, plan());
    expect(differences).toEqual([
      expect.objectContaining({
        name: 'delayed-3s',
        state: 'different',
        changes: [
          { argument: 'x-message-ttl', wanted: '3000', found: '5000' },
          { argument: 'x-expires', wanted: null, found: '7' },
          { argument: 'x-dead-letter-strategy', wanted: 'at-least-once', found: null },
          { argument: 'x-overflow', wanted: 'reject-publish', found: null },
        ],
      }),
    ]);
  });

  it('never makes a queue of foreign arguments, also when someone deletes it in between', async () => {
    const broker = await applied();
    broker.queues.set('mail', { 'x-queue-type': 'classic' });
    let declared = 0;
    broker.onCall = (call) => {
      if (call === 'declare queue mail' && ++declared === 2) broker.queues.delete('mail');
    };
    const { differences } = await diffTopology(broker, plan());
    expect(differences).toHaveLength(1);
    expect(declared).toBe(2);
    expect(broker.queues.has('mail')).toBe(false);
  });

  it('says what differs in an exchange', async () => {
    const broker = await applied();
    broker.exchanges.set('jobs', { type: 'topic' });
    broker.exchanges.set('jobs.due', { type: 'direct' });
    const { differences } = await diffTopology(broker, plan());
    expect(differences).toMatchObject([
      { what: 'exchange', name: 'jobs', changes: [{ argument: 'type', wanted: 'direct', found: 'topic' }] },
      {
        name: 'jobs.due',
        changes: [{ argument: 'alternate-exchange', wanted: 'jobs.unrouted', found: null }],
      },
    ]);
  });

  it('is not led astray by a broker with other words', async () => {
    const broker = await applied();
    broker.onCall = (call) => {
      if (call === 'declare queue mail') throw refused('different', 'it is not as you say');
    };
    const { differences } = await diffTopology(broker, plan());
    expect(differences).toEqual([
      { what: 'queue', name: 'mail', state: 'different', changes: [], said: 'it is not as you say' },
    ]);
  });

  it('ends, also with a broker that finds ever new arguments', async () => {
    const broker = await applied();
    let count = 0;
    broker.onCall = (call) => {
      if (call === 'declare queue mail')
        throw refused('different', `inequivalent arg 'x-${count++}': received none but current is '1'`);
    };
    const { differences } = await diffTopology(broker, plan());
    expect(differences).toMatchObject([{ name: 'mail', changes: { length: 8 } }]);
  });

  it('looks at eight things side by side at most, each on a channel of its own', async () => {
    const broker = new FakeBroker();
    const queues = Array.from({ length: 30 }, (_, index) => ({ name: `q${index}` }));
    await diffTopology(broker, planTopology({ names: namesFor(), queues, delays: [] }));
    expect(broker.mostOpen).toBe(8);
  });

  it('rejects when the broker cannot be asked, and begins nothing more', async () => {
    const broker = await applied();
    broker.onCall = () => {
      throw refused('unavailable', 'no connection');
    };
    await expect(diffTopology(broker, plan())).rejects.toThrow('no connection');
    expect(broker.calls.length).toBeLessThan(COUNT);
  });
});

describe('applyTopology', () => {
  it('creates what is missing, in the order of the plan, then binds', async () => {
    const broker = new FakeBroker();
    const report = await applyTopology(broker, plan());
    expect(report).toEqual({
      created: [
        'exchange jobs',
        'exchange jobs.unrouted',
        'exchange jobs.due',
        'exchange jobs.dead',
        'exchange delayed-3s',
        'queue unrouted',
        'queue mail.dead',
        'queue mail',
        'queue delayed-3s',
      ],
      present: [],
      bindings: 5,
    });
    expect(
      declarations(broker)
        .slice(-5)
        .every((call) => call.startsWith('bind')),
    ).toBe(true);
  });

  it('can be repeated: nothing is created, everything is bound again', async () => {
    const broker = await applied();
    const report = await applyTopology(broker, plan());
    expect(report.created).toEqual([]);
    expect(report.present).toHaveLength(COUNT);
    expect(broker.bindings).toHaveLength(10);
  });

  it('puts back what was deleted', async () => {
    const broker = await applied();
    broker.queues.delete('mail');
    expect((await applyTopology(broker, plan())).created).toEqual(['queue mail']);
  });

  it('changes nothing at all where one thing stands otherwise', async () => {
    const broker = new FakeBroker();
    broker.queues.set('delayed-3s', { ...plan().queues[3]?.arguments, 'x-message-ttl': 5000 });
    const error = await applyTopology(broker, plan()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TopologyMismatchError);
    expect((error as TopologyMismatchError).message).toBe(
      'queue delayed-3s exists with x-message-ttl 5000, wanted 3000; RabbitMQ cannot change it: ' +
        'publish to a new name, or drain and delete it, see docs/operations.md',
    );
    expect((error as TopologyMismatchError).differences).toMatchObject([
      { name: 'delayed-3s', state: 'different' },
    ]);
    expect([...broker.queues.keys(), ...broker.exchanges.keys(), ...broker.bindings]).toEqual(['delayed-3s']);
  });

  it('changes nothing at all where one thing cannot be compared', async () => {
    const broker = new FakeBroker();
    broker.queues.set('mail', {});
    broker.onCall = (call) => {
      if (call === 'declare queue mail') throw refused('forbidden', 'ACCESS_REFUSED');
    };
    await expect(applyTopology(broker, plan())).rejects.toThrow('queue mail could not be compared');
    expect(broker.exchanges.size).toBe(0);
  });

  it.each([
    ['declare queue mail', 'create', 'queue mail could not be created'],
    ['bind mail', 'bind', 'queue mail could not be bound'],
  ])('says which permission it lacks to %s', async (forbidden, action, message) => {
    const broker = new FakeBroker();
    broker.onCall = (call) => {
      if (call === forbidden) throw refused('forbidden', 'ACCESS_REFUSED');
    };
    const error = (await applyTopology(broker, plan()).catch(
      (reason: unknown) => reason,
    )) as TopologyMismatchError;
    expect(error).toBeInstanceOf(TopologyMismatchError);
    expect(error.message).toContain(message);
    expect(error.differences).toEqual([
      { what: 'queue', name: 'mail', state: 'forbidden', action, said: 'ACCESS_REFUSED' },
    ]);
    // What came before it stands, and is told.
    expect(error.created).toEqual([
      ...[...broker.exchanges.keys()].map((name) => `exchange ${name}`),
      ...[...broker.queues.keys()].map((name) => `queue ${name}`),
    ]);
    expect(error.created).not.toEqual([]);
  });

  it('tells it as a difference when someone was faster and made it otherwise', async () => {
    const broker = new FakeBroker();
    broker.onCall = (call) => {
      if (call === 'declare queue mail') broker.queues.set('mail', {});
    };
    await expect(applyTopology(broker, plan())).rejects.toThrow(/^queue mail exists and differs/);
  });

  it('passes on that the broker went away', async () => {
    const broker = new FakeBroker();
    broker.onCall = (call) => {
      if (call === 'bind mail') throw refused('unavailable', 'no connection');
    };
    await expect(applyTopology(broker, plan())).rejects.toBeInstanceOf(AdminError);
  });
});

describe('verifyTopology', () => {
  it('is content when all stands, and changes nothing', async () => {
    const broker = await applied();
    broker.bindings.length = 0;
    expect((await verifyTopology(broker, plan())).differences).toEqual([]);
    expect(broker.bindings).toEqual([]);
  });

  it('refuses what is missing or different', async () => {
    const broker = await applied();
    broker.queues.delete('mail');
    broker.exchanges.set('jobs', { type: 'topic' });
    await expect(verifyTopology(broker, plan())).rejects.toThrow(
      /^exchange jobs exists with type topic.*\nqueue mail does not exist/,
    );
  });

  it('takes what it may not compare for right, and says so', async () => {
    const broker = await applied();
    broker.onCall = (call) => {
      if (call.startsWith('declare')) throw refused('forbidden', 'ACCESS_REFUSED');
    };
    const { differences, fine } = await verifyTopology(broker, plan());
    expect(differences.every(({ state }) => state === 'forbidden')).toBe(true);
    expect([differences.length, fine.length]).toEqual([COUNT, 0]);
  });
});
