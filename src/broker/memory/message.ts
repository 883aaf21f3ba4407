/** A message as the memory server stores it, and the marks that dead-lettering leaves on it. */
import type { Headers, MessageProperties } from '../../core/message.ts';

/** A message on its way through exchanges. */
export interface Letter {
  readonly body: Buffer;
  readonly properties: MessageProperties;
  readonly exchange: string;
  readonly routingKey: string;
}

/** A message in one queue. */
export interface Stored extends Letter {
  /** Its place: grows with each message that the queue takes. */
  readonly place: number;
  /** Ms since 1970, fixed when the queue took it. */
  readonly expiresAt: number | undefined;
  /** How often it was handed out. */
  deliveries: number;
  /** How often it came back unsettled; counts towards the delivery limit. */
  returns: number;
}

export type DeathReason = 'expired' | 'rejected' | 'maxlen' | 'delivery_limit';

/** One entry of `x-death`, as amqplib decodes it. */
interface Death {
  count: number;
  reason: DeathReason;
  queue: string;
  time: { '!': 'timestamp'; value: number };
  exchange: string;
  'routing-keys': string[];
}

/** What it is routed by: its routing key, and what a header `CC` says beside it. */
export function keysOf({ routingKey, properties }: Pick<Letter, 'routingKey' | 'properties'>): string[] {
  const more: unknown = properties.headers?.CC;
  const texts = Array.isArray(more) ? more.filter((key): key is string => typeof key === 'string') : [];
  return [routingKey, ...texts];
}

/** A copy that shares nothing with what the caller keeps: what travels is bytes, not objects. */
export function copyOf({ body, properties, exchange, routingKey }: Letter): Letter {
  return { body: Buffer.from(body), properties: copyProperties(properties), exchange, routingKey };
}

function copyProperties(properties: MessageProperties): MessageProperties {
  const said = Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined));
  return { ...said, headers: structuredClone(properties.headers ?? {}) };
}

/** What a consumer gets to see: a queue says how often the message came back. */
export function deliveredProperties({
  properties,
  returns = 0,
}: Letter & Partial<Stored>): MessageProperties {
  const copy = copyProperties(properties);
  if (returns > 0) copy.headers['x-delivery-count'] = returns;
  return copy;
}

/** The properties with this death in front of their `x-death`, as RabbitMQ writes it. */
export function withDeath(
  from: Letter,
  death: { queue: string; reason: DeathReason; now: number },
): MessageProperties {
  const headers: Headers = { ...from.properties.headers };
  const deaths = deathsOf(headers);
  const same = deaths.find(({ queue, reason }) => queue === death.queue && reason === death.reason);
  const entry: Death = {
    count: (same?.count ?? 0) + 1,
    reason: death.reason,
    queue: death.queue,
    time: { '!': 'timestamp', value: Math.floor(death.now / 1000) },
    exchange: from.exchange,
    'routing-keys': keysOf(from),
  };
  headers['x-death'] = [entry, ...deaths.filter((other) => other !== same)];
  for (const which of deaths.length === 0 ? ['first', 'last'] : ['last']) {
    headers[`x-${which}-death-queue`] = death.queue;
    headers[`x-${which}-death-reason`] = death.reason;
    headers[`x-${which}-death-exchange`] = from.exchange;
  }
  return { ...from.properties, headers };
}

/**
 * True when a message has already died in `queue` and was rejected nowhere since: RabbitMQ takes that for a
 * loop without end and does not deliver it. As on 3.x, an `x-death` that a publisher made up counts too.
 */
export function isCycle(queue: string, headers: Headers): boolean {
  const deaths = deathsOf(headers);
  const last = deaths.findIndex((death) => death.queue === queue);
  return last >= 0 && deaths.slice(0, last + 1).every(({ reason }) => reason !== 'rejected');
}

function deathsOf(headers: Headers): Death[] {
  const deaths: unknown = headers['x-death'];
  return Array.isArray(deaths) ? deaths.filter((death) => typeof death === 'object' && death !== null) : [];
}
