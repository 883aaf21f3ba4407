import { dead, Job, type JobContext } from 'warren';
import { INTERFACE_URL, type SendRequest } from './request.ts';
import { StatusReceived } from './status-received.ts';

class Busy extends Error {}

/** Allowed → Sent. An interface that is busy is asked again after five minutes, one that is away after ten. */
export class SendToInterface extends Job<SendRequest> {
  static queue = 'send-to-interface';
  static retry = {
    attempts: 300,
    delays: ['5m', '10m'],
    backoff: (_attempt: number, error: unknown) => (error instanceof Busy ? '5m' : '10m'),
  };
  static timeout = '30s';

  async perform(request: SendRequest, { id, signal, enqueue }: JobContext) {
    const answer = await fetch(`${INTERFACE_URL}/messages`, {
      method: 'POST',
      // A job may run twice (a crash after sending); by its id the interface tells that it has it already.
      headers: { 'content-type': 'application/json', 'idempotency-key': id },
      body: JSON.stringify(request),
      signal,
    });
    if (answer.status === 400) return dead(`the interface refuses it: ${await answer.text()}`);
    if (answer.status === 429 || answer.status === 503) throw new Busy('the interface is busy');
    if (!answer.ok) throw new Error(`the interface said ${answer.status}`);
    await enqueue(StatusReceived, {}, { id });
  }
}
