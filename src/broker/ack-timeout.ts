import type { SessionEnd } from './session.ts';

/**
 * Up to 4.2 a channel whose consumer held a delivery for too long is closed with 406, and only its words tell that from
 * other reasons. Returns the broker's limit in ms, 0 where it was not said; undefined: something else ended it.
 * https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
 */
export function ackTimeoutIn({ code, reason }: SessionEnd): number | undefined {
  if (code !== 406 || !/delivery acknowledgement .* timed out/.test(reason)) return undefined;
  return Number(/Timeout value used: (\d+) ms/.exec(reason)?.[1] ?? 0);
}

/**
 * Whether this broker cancels a consumer for that, too. Before 4.3 it only did so where the queue was deleted or its node
 * failed. A version that is not known may be any. https://www.rabbitmq.com/docs/consumer-cancel
 */
export function cancelsForLateAcks(version: string | undefined): boolean {
  const [major = Number.NaN, minor = Number.NaN] = (version ?? '?').split('.').map(Number);
  return !(major < 4 || (major === 4 && minor < 3));
}
