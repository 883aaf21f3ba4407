/**
 * Which publications made the broker close a publishing channel, told from its words: AMQP names the
 * method that failed but not the message. https://www.rabbitmq.com/docs/channels#error-handling
 */
import type { PublishError } from '../core/errors.ts';
import { messageOf } from '../deadline.ts';
import type { Entry } from './entry.ts';
import { forbidden, poisonous, tooLarge, unroutable } from './publish-errors.ts';

export interface Blame {
  /** What the broker said. */
  words: string;
  concerns(entry: Entry): boolean;
  error(entry: Entry): PublishError;
}

export function blameFor(error: Error): Blame {
  const words = messageOf(error).replace(/^Channel closed by server: /, '');
  const exchange = /exchange '([^']*)' in vhost/.exec(words)?.[1];
  const size = /message size (\d+) is larger/.exec(words)?.[1];
  switch ((error as { code?: unknown }).code) {
    case 404:
      return { words, concerns: toExchange(exchange), error: (entry) => unroutable(entry, words) };
    case 403:
      return { words, concerns: toExchange(exchange), error: (entry) => forbidden(entry, words) };
    case 406:
      return {
        words,
        concerns: ({ publication }) => publication.body.length === Number(size),
        error: (entry) => tooLarge(entry, words),
      };
    default:
      return { words, concerns: () => false, error: (entry) => poisonous(entry, words) };
  }
}

function toExchange(name: string | undefined): (entry: Entry) => boolean {
  // The default exchange has no name, and is called so where permissions are concerned.
  const wanted = name === 'amq.default' ? '' : name;
  return ({ publication }) => publication.exchange === wanted;
}
