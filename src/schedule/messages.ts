/**
 * The messages of the queue `schedules`. A *charge* is the job of one tick, complete: rejected, it falls due. The
 * *table* says up to where each schedule is dealt with and which charges count; the newest one is true. A *call* is
 * how a worker asks whether anybody is there. Each is sent once at most and named by a `copy` of its own, so that one
 * that is not in the queue any more was let go, and can never come again.
 */
import { createHash } from 'node:crypto';
import type { Names } from '../../topology/names.ts';
import type { Delivery, Publication } from '../broker/broker.ts';
import { jobProperties } from '../core/envelope.ts';
import { HEADER } from '../core/headers.ts';
import { type Schedule, tickId } from '../core/schedule.ts';
import { type Entry, emptyTable, type Table } from './table.ts';

const KIND = 'warren-schedules';
const COPY = 'warren-copy';

export type Message =
  | { kind: 'call'; copy: string }
  | { kind: 'table'; copy: string; table: Table }
  | { kind: 'charge'; copy: string; schedule: string; tick: number }
  | { kind: 'unknown'; copy: undefined };

export function callMessage(names: Names, copy: string): Publication {
  return ours(names.schedules, 'call', copy, {});
}

export function tableMessage(names: Names, copy: string, table: Table): Publication {
  return ours(names.schedules, 'table', copy, table);
}

/** The table for those who only look. */
export function stateMessage(names: Names, copy: string, table: Table): Publication {
  return ours(names.scheduleState, 'table', copy, table);
}

function ours(exchange: string, kind: string, copy: string, body: object): Publication {
  return {
    exchange,
    routingKey: '',
    body: Buffer.from(JSON.stringify(body)),
    properties: {
      messageId: copy,
      type: `warren.${kind}`,
      contentType: 'application/json',
      headers: { [KIND]: kind, [COPY]: copy },
    },
  };
}

export function chargeMessage(
  names: Names,
  schedule: Schedule,
  { tick, copy, now }: { tick: number; copy: string; now: number },
): Publication {
  const { name, job, queue, payload } = schedule;
  const properties = jobProperties({ id: tickId(name, tick), name: job, now });
  return {
    exchange: names.schedules,
    routingKey: names.queue(queue),
    body: Buffer.from(JSON.stringify(payload)),
    properties: {
      ...properties,
      headers: {
        ...properties.headers,
        [HEADER.dueAt]: tick,
        [HEADER.schedule]: name,
        [HEADER.tick]: tick,
        [KIND]: 'charge',
        [COPY]: copy,
      },
    },
  };
}

/** Whatever lies in the queue and is not ours is unknown. */
export function readMessage({ properties, body }: Pick<Delivery, 'properties' | 'body'>): Message {
  const { [KIND]: kind, [COPY]: copy, [HEADER.schedule]: schedule, [HEADER.tick]: tick } = properties.headers;
  if (typeof copy !== 'string') return { kind: 'unknown', copy: undefined };
  if (kind === 'call') return { kind, copy };
  if (kind === 'charge' && typeof schedule === 'string' && typeof tick === 'number')
    return { kind, copy, schedule, tick };
  const table = kind === 'table' ? readTable(body) : undefined;
  return table ? { kind: 'table', copy, table } : { kind: 'unknown', copy: undefined };
}

export function readTable(body: Buffer): Table | undefined {
  try {
    const { term, seq, leader, entries } = JSON.parse(body.toString()) as Table;
    if (typeof term !== 'number' || typeof seq !== 'number' || typeof entries !== 'object') return undefined;
    return { ...emptyTable(), term, seq, leader, entries };
  } catch {
    return undefined;
  }
}

/** Changes when what a tick would do changes. */
export function printOf({ job, queue, payload, rhythm }: Schedule): string {
  const text = JSON.stringify([job, queue, payload, rhythmText(rhythm)]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

export function rhythmText({ expression, timeZone }: Schedule['rhythm']): string {
  return `${expression} ${timeZone}`;
}

export type { Entry, Table };
