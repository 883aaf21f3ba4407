/** The leader's table as those see it who do not lead. */
import type { Names } from '../../topology/names.ts';
import { AdminError, type Broker } from '../broker/broker.ts';
import { readTable } from './messages.ts';
import type { Table } from './table.ts';

export type { Entry as ScheduleEntry, Leader, Table as ScheduleTable } from './table.ts';

/** Others may be looking at the same moment: then the queue seems empty. */
const LOOKS = 3;

/** Undefined: nobody has led yet, or the queue is not there. */
export async function readScheduleTable(
  broker: Pick<Broker, 'admin'>,
  names: Names,
): Promise<Table | undefined> {
  for (let look = 0; look < LOOKS; look++) {
    const table = await lookOnce(broker, names);
    if (table) return table;
  }
  return undefined;
}

async function lookOnce(broker: Pick<Broker, 'admin'>, names: Names): Promise<Table | undefined> {
  try {
    // What is pulled goes back when the channel is closed.
    return await broker.admin(async (channel) => {
      const pulled = await channel.get(names.scheduleState);
      const table = pulled && readTable(pulled.body);
      if (!table) return undefined;
      // Who stops leaves its name behind.
      const { consumers } = await channel.checkQueue(names.schedules);
      return consumers > 0 ? table : { ...table, leader: null };
    });
  } catch (error) {
    if (error instanceof AdminError && (error.failure === 'missing' || error.failure === 'forbidden'))
      return undefined;
    throw error;
  }
}
