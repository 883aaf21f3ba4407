import { Job, type JobContext, snooze } from 'warren';
import { INTERFACE_URL } from './request.ts';

/** Sent → the end. Having to wait for the status is no failure: a snooze costs no attempt. */
export class StatusReceived extends Job<object> {
  static queue = 'status-received';
  static retry = { attempts: 300, backoff: ['5m'], delays: ['1m'] };
  static timeout = '30s';

  async perform(_nothing: object, { id, signal, log }: JobContext) {
    const answer = await fetch(`${INTERFACE_URL}/messages/${encodeURIComponent(id)}`, { signal });
    if (!answer.ok) throw new Error(`the interface said ${answer.status}`);

    const { status } = (await answer.json()) as { status: string };
    if (status === 'pending') return snooze('1m');
    log.info(`status received: ${status}`);
  }
}
