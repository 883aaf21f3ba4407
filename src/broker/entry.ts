/** One publication under way: from `publish()` to the moment its promise settles. */
import type { Options } from 'amqplib';
import type { PublishError } from '../core/errors.ts';
import type { Publication } from './broker.ts';

export class Entry {
  readonly publication: Publication;
  readonly startedAt: number;
  readonly deadline: number;
  /** Not to be sent a second time. */
  readonly once: boolean;
  readonly #resolve: () => void;
  readonly #reject: (error: PublishError) => void;
  #options: Options.Publish | undefined;
  /** Its promise has settled; what the broker still says of it is of no interest. */
  done = false;
  /** It was handed to the broker at least once, so it may be stored. */
  sent = false;
  /** The broker's words when it came back unroutable; its confirm is still to come. */
  returned: string | undefined;
  /** The broker's words when it said no last. */
  refused: string | undefined;
  refusals = 0;
  /** How often the broker closed the channel while this alone was on it. */
  strikes = 0;
  /** Not to be tried again before this moment. */
  restsUntil = 0;
  /** Ends listening to the caller's signal. */
  release: (() => void) | undefined;

  constructor(
    publication: Publication,
    times: { startedAt: number; deadline: number; once?: boolean },
    resolve: () => void,
    reject: (error: PublishError) => void,
  ) {
    this.publication = publication;
    this.startedAt = times.startedAt;
    this.deadline = times.deadline;
    this.once = times.once ?? false;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** What amqplib is given, made once however often it is tried. */
  get options(): Options.Publish {
    this.#options ??= publishOptions(this.publication);
    return this.#options;
  }

  succeed(): void {
    this.done = true;
    this.release?.();
    this.#resolve();
  }

  fail(error: PublishError): void {
    this.done = true;
    this.release?.();
    this.#reject(error);
  }
}

/** Named one by one: an `expiration` or a `userId` that came along would close the channel. */
function publishOptions({ properties }: Publication): Options.Publish {
  return {
    mandatory: true,
    deliveryMode: 2,
    messageId: properties.messageId,
    type: properties.type,
    contentType: properties.contentType,
    contentEncoding: properties.contentEncoding,
    timestamp: properties.timestamp,
    correlationId: properties.correlationId,
    replyTo: properties.replyTo,
    appId: properties.appId,
    priority: properties.priority,
    headers: properties.headers,
  };
}

/** A quorum queue refuses NaN and the infinities in a header, for ever. */
export function wrongNumber(value: unknown, path = 'header'): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${path} is ${value}`;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const found = wrongNumber(inner, `${path} '${key}'`);
    if (found !== undefined) return found;
  }
  return undefined;
}
