import { SendToInterface as Sends } from '../../../workers/pipeline/send-to-interface.ts';

/** For an interface that sends whatever it is given: a request's id is sent once, however often and wherever it arrives. */
export class SendToInterface extends Sends {
  static override idempotent = true;
}
