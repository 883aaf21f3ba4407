import { dead, Job, type JobContext } from 'warren';
import { PERMISSIONS_URL, type SendRequest } from './request.ts';
import { SendToInterface } from './send-to-interface.ts';

/** Created → Allowed. Not being allowed is an answer, so the job is done then; bad data never gets better. */
export class CheckAllowed extends Job<SendRequest> {
  static queue = 'check-allowed';
  static retry = { attempts: 300, backoff: ['5m'] }; // a day of outage
  static timeout = '30s';

  async perform(request: SendRequest, { id, signal, log, enqueue }: JobContext) {
    if (!request?.customer || !request.text) return dead('the request names no customer or has no text');

    const answer = await fetch(`${PERMISSIONS_URL}/${encodeURIComponent(request.customer)}`, { signal });
    if (!answer.ok) throw new Error(`the permission service said ${answer.status}`);

    const { allowed } = (await answer.json()) as { allowed: boolean };
    if (!allowed) return log.info(`not allowed: ${request.customer}`);
    await enqueue(SendToInterface, request, { id });
  }
}
