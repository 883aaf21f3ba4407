/** A reign against a queue made by hand: what is in it, what comes back, in which order. */
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Delivery, Publication } from '../../../src/broker/broker.ts';
import { EventBus } from '../../../src/core/events.ts';
import { Registry } from '../../../src/core/registry.ts';
import { type Schedule, schedulesOf } from '../../../src/core/schedule.ts';
import { Job } from '../../../src/job.ts';
import {
  chargeMessage,
  printOf,
  readMessage,
  rhythmText,
  tableMessage,
} from '../../../src/schedule/messages.ts';
import { Reign } from '../../../src/schedule/reign.ts';
import { emptyTable, type Table } from '../../../src/schedule/table.ts';
import { namesFor } from '../../../topology/names.ts';
import { until } from '../../support/until.ts';

class Report extends Job {
  static override queue = 'reports';
  static override cron = '* * * * *';
  perform() {}
}

const names = namesFor('');
const schedule = schedulesOf(new Registry([Report]).all)[0] as Schedule;
const noon = Date.UTC(2026, 10, 22, 12);
const tick = noon + 60_000;

/** The queue `schedules` as its one consumer sees it. */
class Desk {
  readonly sent: Publication[] = [];
  readonly settled: [string, 'ack' | 'reject'][] = [];
  readonly events: string[] = [];
  readonly errors: Error[] = [];
  readonly reign: Reign;
  now = noon;
  /** What is sent comes back at once. */
  echoes = true;

  constructor() {
    const bus = new EventBus();
    bus.onAny((name) => void this.events.push(name));
    this.reign = new Reign(
      {
        broker: { publish: async (publication) => this.publish(publication) },
        bus,
        names,
        schedules: [schedule],
        now: () => this.now,
        me: { host: 'here', pid: 1 },
      },
      (error) => void this.errors.push(error),
    );
  }

  publish(publication: Publication): void {
    if (publication.exchange !== names.schedules) return;
    this.sent.push(publication);
    if (this.echoes) this.deliver(publication);
  }

  deliver(publication: Publication): void {
    setImmediate(() => this.reign.take(this.delivery(publication)));
  }

  delivery({ body, properties, exchange, routingKey }: Publication): Delivery {
    const message = readMessage({ body, properties });
    const settle = (how: 'ack' | 'reject') => {
      this.settled.push([message.copy ?? '?', how]);
      return true;
    };
    return {
      ...{ body, properties, exchange, routingKey, redelivered: false, deliveryCount: undefined, live: true },
      ack: () => settle('ack'),
      reject: () => settle('reject'),
      release: () => true,
    };
  }

  kinds(): string[] {
    return this.sent.map((publication) => readMessage(publication).kind);
  }

  leading(): Promise<boolean> {
    return until(
      () => this.reign.leading && this.sent.length > 0 && this.events.includes('schedules.leading'),
    );
  }

  rejected(): string[] {
    return this.settled.filter(([, how]) => how === 'reject').map(([copy]) => copy);
  }
}

const charge = (copy: string, at = tick) => chargeMessage(names, schedule, { tick: at, copy, now: noon });

function table(term: number, seq: number, armed?: string): Table {
  const entry = { after: noon, rhythm: rhythmText(schedule.rhythm), missed: 0 };
  const print = printOf(schedule);
  return {
    ...emptyTable(),
    term,
    seq,
    entries: { Report: { ...entry, ...(armed ? { armed: { tick, copy: armed, print } } : {}) } },
  };
}

let desk: Desk;
afterEach(() => desk?.reign.end('the test is over'));

describe('a reign', () => {
  it('begins where nobody leads: asks, looks, writes a table, arms the next tick', async () => {
    desk = new Desk();
    desk.reign.begin();
    await desk.leading();
    await until(() => desk.kinds().length === 5);
    expect(desk.kinds()).toEqual(['call', 'call', 'table', 'charge', 'table']);
    expect(desk.rejected()).toEqual([]);
  });

  it('takes up what the one before left, and lets it go when its time has come', async () => {
    desk = new Desk();
    desk.deliver(charge('c'));
    desk.deliver(tableMessage(names, 't', table(4, 7, 'c')));
    await desk.leading();
    expect(desk.kinds()).toEqual(['call', 'table']);
    expect(readMessage(desk.sent[1] as Publication)).toMatchObject({ table: { term: 5, seq: 1 } });
    expect(desk.settled).toContainEqual(['t', 'ack']);
    expect(desk.rejected()).toEqual([]);
  });

  it('lets a due tick go only after its own table has come back', async () => {
    desk = new Desk();
    desk.now = tick;
    desk.echoes = false;
    desk.deliver(charge('c'));
    desk.deliver(tableMessage(names, 't', table(1, 1, 'c')));
    await until(() => desk.sent.length === 1);
    desk.deliver(desk.sent[0] as Publication);
    await until(() => desk.sent.length === 2);
    expect(desk.rejected()).toEqual([]);
    desk.echoes = true;
    desk.deliver(desk.sent[1] as Publication);
    await until(() => desk.rejected().length === 1);
    expect(desk.rejected()).toEqual(['c']);
  });

  it('does not let go a charge that no table counts on', async () => {
    desk = new Desk();
    desk.now = tick + 5;
    desk.deliver(charge('stray'));
    desk.deliver(charge('c'));
    desk.deliver(tableMessage(names, 't', table(1, 1, 'c')));
    await until(() => desk.rejected().length === 1);
    expect(desk.rejected()).toEqual(['c']);
    expect(desk.settled).toContainEqual(['stray', 'ack']);
  });

  it('takes a charge that is gone for let go, and never makes that tick again', async () => {
    desk = new Desk();
    desk.now = tick + 5;
    desk.deliver(tableMessage(names, 't', table(1, 1, 'gone')));
    await desk.leading();
    await until(() => desk.kinds().includes('charge'));
    const charges = desk.sent.map((one) => readMessage(one)).filter(({ kind }) => kind === 'charge');
    expect(charges).toMatchObject([{ tick: tick + 60_000 }]);
  });

  it('counts the newest of several tables, whatever the order', async () => {
    desk = new Desk();
    desk.now = tick + 5;
    desk.deliver(tableMessage(names, 'new', table(3, 1, 'mine')));
    desk.deliver(charge('mine'));
    desk.deliver(charge('theirs'));
    desk.deliver(tableMessage(names, 'old', table(2, 9, 'theirs')));
    await until(() => desk.rejected().length === 1);
    expect(desk.rejected()).toEqual(['mine']);
  });

  it('goes on looking when an old call of its own comes back in front of the table', async () => {
    desk = new Desk();
    desk.echoes = false;
    desk.reign.begin();
    await until(() => desk.sent.length === 1);
    const [old] = desk.sent as [Publication];
    desk.deliver(charge('c'));
    desk.deliver(old);
    desk.deliver(tableMessage(names, 't', table(1, 1, 'c')));
    await until(() => desk.sent.length === 2);
    expect(desk.reign.leading).toBe(false);
    desk.echoes = true;
    desk.deliver(desk.sent[1] as Publication);
    await desk.leading();
    expect(readMessage(desk.sent[2] as Publication)).toMatchObject({ table: { term: 2 } });
  });

  it('drops what arrives late from one who no longer leads', async () => {
    desk = new Desk();
    desk.reign.begin();
    await desk.leading();
    await until(() => desk.kinds().length === 5);
    desk.deliver(tableMessage(names, 'late', table(0, 99, 'late-charge')));
    desk.deliver(charge('late-charge'));
    await until(() => desk.settled.some(([copy]) => copy === 'late-charge'));
    expect(desk.settled).toContainEqual(['late', 'ack']);
    expect(desk.rejected()).toEqual([]);
  });

  it('takes away what is not a message of schedules', async () => {
    desk = new Desk();
    desk.deliver({ ...charge('x'), properties: { headers: { 'warren-schedules': 'charge' } } });
    await until(() => desk.settled.length > 0);
    expect(desk.settled[0]).toEqual(['?', 'ack']);
  });

  it('ends when its channel does, and says so', async () => {
    desk = new Desk();
    desk.reign.begin();
    await desk.leading();
    desk.reign.end('gone');
    expect(desk.events).toContain('schedules.left');
    desk.now = tick + 5;
    expect(desk.rejected()).toEqual([]);
    expect(desk.errors).toEqual([]);
  });
});
