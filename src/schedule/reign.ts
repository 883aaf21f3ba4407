/**
 * One attachment to the queue `schedules`, from its first delivery to the loss of its channel. It begins by looking:
 * when a call of its own has come back, it has seen all that was in the queue. Then it writes a table of its own, and
 * from there on it leads. Whatever fails ends the reign; the next one begins with what is on the broker.
 *
 * A charge is let go by rejecting it, and only after a table that counts on it has come back through the queue.
 * So every later leader either finds the charge, and nobody has let it go, or finds the table without it, and it was.
 */
import type { Names } from '../../topology/names.ts';
import type { Broker, Delivery, Publication } from '../broker/broker.ts';
import type { EventBus } from '../core/events.ts';
import { LATE_MS, type Schedule, tickId } from '../core/schedule.ts';
import { newId } from '../new-id.ts';
import { ECHO_MS, Held, type Kept } from './held.ts';
import {
  callMessage,
  chargeMessage,
  printOf,
  readMessage,
  rhythmText,
  stateMessage,
  tableMessage,
} from './messages.ts';
import {
  countedOn,
  emptyTable,
  isNewer,
  type Leader,
  letGo,
  nextSteps,
  type Table,
  takeOver,
} from './table.ts';

export interface ReignResources {
  broker: Pick<Broker, 'publish'>;
  bus: EventBus;
  names: Names;
  schedules: readonly Schedule[];
  now(): number;
  me: Omit<Leader, 'since'>;
}

/** The timer is not trusted for longer: clocks are set, machines sleep. */
const LONGEST_NAP_MS = 30_000;
/**
 * RabbitMQ takes a channel away whose messages stay unacked for half an hour (consumer_timeout), so all are given
 * back before that, and come again.
 */
const RENEW_EVERY_MS = 600_000;

export class Reign {
  readonly #it: ReignResources;
  readonly #onEnd: (error: Error) => void;
  /**
   * The call that ends the looking. Only one that was sent when the first delivery had come: an earlier one may have
   * been with the leader before, and comes back from there in front of what that one wrote after it.
   */
  #marker: string | undefined;
  readonly #held = new Held();
  #phase: 'waiting' | 'looking' | 'leading' | 'over' = 'waiting';
  #table: Table = emptyTable();
  #wake: (() => void) | undefined;
  #renewedAt = 0;

  constructor(resources: ReignResources, onEnd: (error: Error) => void) {
    this.#it = resources;
    this.#onEnd = onEnd;
  }

  get leading(): boolean {
    return this.#phase === 'leading';
  }

  /** Asks whether anybody leads: whoever does takes the call away; where nobody does it comes here. */
  begin(): void {
    this.#guard(this.#call(newId()));
  }

  /** Its channel is gone, or is to go. */
  end(reason: string): void {
    if (this.#phase === 'over') return;
    const led = this.leading;
    this.#phase = 'over';
    this.#wake?.();
    this.#held.end(reason);
    if (led) this.#it.bus.emit('schedules.left', { reason });
  }

  take(delivery: Delivery): void {
    const message = readMessage(delivery);
    if (this.#phase === 'waiting') {
      this.#phase = 'looking';
      this.#marker = newId();
      this.#guard(this.#call(this.#marker));
    }
    if (message.kind === 'unknown') delivery.ack();
    else if (message.kind === 'call') this.#takeCall(message.copy, delivery);
    else this.#keep(message, delivery);
  }

  // --- what comes in ---

  #takeCall(copy: string, delivery: Delivery): void {
    delivery.ack();
    if (this.#phase === 'looking' && copy === this.#marker) this.#guard(this.#lead());
  }

  /** While it leads, what it does not wait for is of somebody who no longer leads. */
  #keep(message: Kept, delivery: Delivery): void {
    if (this.#phase === 'leading' && !this.#held.awaits(message.copy)) delivery.ack();
    else this.#held.keep(message, delivery);
  }

  // --- taking over ---

  async #call(copy: string): Promise<void> {
    await this.#it.broker.publish(callMessage(this.#it.names, copy), { deadline: ECHO_MS });
  }

  /** All that was in the queue has been seen. */
  async #lead(): Promise<void> {
    this.#phase = 'leading';
    const { schedules, bus, now, me } = this.#it;
    const newest = this.#newestTable();
    this.#table = takeOver(newest, new Set(this.#held.messages.map(({ copy }) => copy)));
    this.#table.term = newest.term + 1;
    this.#table.seq = 0;
    this.#table.leader = { ...me, since: now() };
    await this.#writeTable();
    this.#dropStrays();
    this.#letGoLeft();
    this.#renewedAt = now();
    bus.emit('schedules.leading', { term: this.#table.term, schedules: schedules.map(({ name }) => name) });
    while (this.leading) await this.#round();
  }

  #newestTable(): Table {
    let newest = emptyTable();
    for (const message of this.#held.messages)
      if (message.kind === 'table' && isNewer(message.table, newest)) newest = message.table;
    return newest;
  }

  #dropStrays(): void {
    const counted = countedOn(this.#table);
    for (const { kind, copy } of this.#held.messages)
      if (kind === 'charge' && !counted.has(copy)) this.#held.drop(copy);
  }

  /** What the leader before had let go, and the broker had not. */
  #letGoLeft(): void {
    for (const { going = [] } of Object.values(this.#table.entries))
      for (const { copy } of going) if (this.#held.has(copy)) this.#held.reject(copy);
  }

  // --- leading ---

  async #round(): Promise<void> {
    const { schedules, now } = this.#it;
    const steps = nextSteps(this.#table, schedules, now(), {
      print: printOf,
      rhythm: (s) => rhythmText(s.rhythm),
    });
    await Promise.all(steps.arm.map(({ schedule, tick, print }) => this.#arm(schedule, tick, print)));
    if (steps.changed || steps.arm.length > 0) await this.#writeTable();
    for (const copy of steps.drop) this.#held.drop(copy);
    for (const skipped of steps.skipped) this.#it.bus.emit('schedule.skipped', skipped);
    if (this.#letGoDue() > 0) return;
    if (now() - this.#renewedAt > RENEW_EVERY_MS) await this.#renew();
    await this.#nap();
  }

  async #arm(schedule: Schedule, tick: number, print: string): Promise<void> {
    const copy = newId();
    await this.#send(copy, chargeMessage(this.#it.names, schedule, { tick, copy, now: this.#it.now() }));
    const entry = this.#table.entries[schedule.name];
    if (entry) entry.armed = { tick, copy, print };
  }

  /** The old tables go when the new one has come. The copy for others is worth no waiting. */
  async #writeTable(): Promise<void> {
    this.#table.seq += 1;
    const copy = newId();
    await this.#send(copy, tableMessage(this.#it.names, copy, this.#table));
    this.#held.dropTables(copy);
    this.#it.broker
      .publish(stateMessage(this.#it.names, copy, this.#table), { deadline: ECHO_MS, once: true })
      .catch(() => {});
  }

  /** Returns how many. */
  #letGoDue(): number {
    const now = this.#it.now();
    let count = 0;
    for (const schedule of this.#it.schedules) {
      const entry = this.#table.entries[schedule.name];
      if (!entry?.armed || entry.armed.tick > now) continue;
      const { tick, copy } = entry.armed;
      this.#held.reject(copy);
      letGo(entry, now);
      count += 1;
      this.#report(schedule, tick, now);
    }
    return count;
  }

  #report({ name, job, queue }: Schedule, tick: number, now: number): void {
    const lateMs = now - tick;
    this.#it.bus.emit('schedule.ticked', {
      schedule: name,
      id: tickId(name, tick),
      job,
      queue,
      tick,
      lateMs,
      madeUp: lateMs >= LATE_MS,
    });
  }

  /** Until the next tick, or until it is over. */
  async #nap(): Promise<void> {
    const ticks = this.#it.schedules.flatMap(({ name }) => this.#table.entries[name]?.armed?.tick ?? []);
    const ms = Math.min(LONGEST_NAP_MS, ...ticks.map((tick) => tick - this.#it.now()));
    if (!this.leading) return;
    await new Promise<void>((resolve) => {
      // The consumer keeps the process alive, as long as there is one.
      const timer = setTimeout(resolve, Math.max(0, ms)).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #renew(): Promise<void> {
    await this.#held.renew();
    this.#renewedAt = this.#it.now();
  }

  // --- sending ---

  /** Resolves when it has come back, confirmed or not. Never sent twice. */
  async #send(copy: string, publication: Publication): Promise<void> {
    const back = this.#held.expect(copy);
    const sent = this.#it.broker.publish(publication, { deadline: ECHO_MS, once: true });
    await Promise.all([sent, back]);
  }

  #guard(work: Promise<void>): void {
    work.catch((error: Error) => {
      if (this.#phase === 'over') return;
      this.end(error.message);
      this.#onEnd(error);
    });
  }
}
