/** The process of one side: takes orders from main.ts over IPC, one at a time, and answers each with its round. */
import { drive, type Order, type Round } from './drive.ts';
import { type ProfileLine, profiled } from './profile.ts';
import type { Rig, RigOptions } from './rig.ts';

/** `floor` is bare with the two levers known to help: gathered acks and `noDelay`. */
export type SideName = 'warren' | 'bare' | 'floor';

export interface Message {
  order: Order;
  /** Sample the CPU while it runs. */
  profile?: boolean;
}

export type Reply = { round: Round; profile?: ProfileLine[] } | { error: string };

// Only the side's own modules are loaded, so that its memory is its own.
async function rigOf(side: SideName, options: RigOptions): Promise<Rig> {
  if (side === 'warren') return new (await import('./warren.ts')).Warren(options);
  return new (await import('./bare.ts')).Bare({ ...options, gathered: side === 'floor' });
}

async function obey(rig: Rig, { order, profile }: Message): Promise<Reply> {
  if (!profile) return { round: await drive(rig, order) };
  const [round, lines] = await profiled(() => drive(rig, order));
  return { round, profile: lines };
}

const [side, url, namespace] = process.argv.slice(2) as [SideName, string, string];
const rig = rigOf(side, { url, namespace });

process.on('message', (message: Message) => {
  rig
    .then((ready) => obey(ready, message))
    .catch(
      (error: unknown): Reply => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    )
    .then((reply) => process.send?.(reply));
});
process.on('disconnect', () => process.exit());
