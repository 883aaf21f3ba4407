import type { PulledMessage } from '../broker/broker.ts';
import type { Buried } from './letter.ts';
import { type DeadQueue, fullName } from './place.ts';

/**
 * The first message of a queue, pulled: with it the broker says how many lie behind. (A passive declare may say 0
 * while the queue is slow to answer or still takes messages back.) It is held until `leave`, like all others;
 * being on a channel of its own it may come back last when this process is killed.
 */
export class Oldest {
  readonly message: Buried | undefined;
  readonly total: number;
  /** Gives it back, unless it was acked. @throws AdminError */
  readonly leave: () => Promise<void>;

  private constructor(pulled: PulledMessage | undefined, leave: () => Promise<void>) {
    this.message = pulled && {
      ...pulled,
      ack: () => {
        pulled.ack();
        return true;
      },
    };
    this.total = pulled ? pulled.remaining + 1 : 0;
    this.leave = leave;
  }

  /** @throws AdminError */
  static pull(place: DeadQueue): Promise<Oldest> {
    return new Promise((resolve, reject) => {
      const held = place.broker.admin(async (channel) => {
        const pulled = await channel.get(fullName(place));
        await new Promise<void>((release) => {
          const leave = () => {
            release();
            return held;
          };
          resolve(new Oldest(pulled, leave));
        });
      });
      held.catch(reject);
    });
  }
}
