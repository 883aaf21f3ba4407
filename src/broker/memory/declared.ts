/** What RabbitMQ says to a declaration it cannot take, in its words (measured on 3.10 and 4.3, where they agree). */
import type { ExchangeSpec, QueueSpec } from '../../../topology/plan.ts';
import { AdminError } from '../broker.ts';

type Arguments = Readonly<Record<string, string | number | boolean>>;

/** Arguments that only some kind of queue knows; the other refuses them. Arguments nobody knows are let pass. */
const QUORUM_ONLY = ['x-dead-letter-strategy', 'x-delivery-limit', 'x-quorum-initial-group-size'];
const COUNTS = ['x-message-ttl', 'x-max-length', 'x-max-length-bytes', 'x-expires'];
const LONGEST_TTL_MS = 315_360_000_000;
/** Arguments that neither version compares when a queue is declared again. */
const COMPARED =
  /^(x-message-ttl|x-expires|x-dead-letter-(exchange|routing-key|strategy)|x-max-length(-bytes)?|x-overflow|x-queue-type|x-delivery-limit|x-single-active-consumer|x-max-priority)$/;

export function notFound(kind: 'queue' | 'exchange', name: string): AdminError {
  return new AdminError('missing', `NOT_FOUND - no ${kind} '${name}' in vhost '/'`);
}

export function defaultExchangeRefused(): AdminError {
  return new AdminError('forbidden', 'ACCESS_REFUSED - operation not permitted on the default exchange');
}

export function notEmpty(queue: string): AdminError {
  return new AdminError('different', `PRECONDITION_FAILED - queue '${queue}' in vhost '/' is not empty`);
}

/** @throws AdminError when no queue can be like this */
export function checkQueueSpec({ name, arguments: wanted }: QueueSpec): void {
  refuseReserved('queue', name);
  for (const key of COUNTS) {
    const value = wanted[key];
    if (value !== undefined && !isCount(value)) throw invalid(key, name, `: {value_invalid,${value}}`);
  }
  if (wanted['x-queue-type'] === 'quorum') return;
  const alien = QUORUM_ONLY.find((key) => wanted[key] !== undefined);
  if (alien) throw invalid(alien, name, ' of queue type rabbit_classic_queue');
}

function isCount(value: string | number | boolean): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LONGEST_TTL_MS;
}

/** @throws AdminError when no exchange can be like this */
export function checkExchangeSpec({ name }: ExchangeSpec): void {
  if (name === '') throw defaultExchangeRefused();
  refuseReserved('exchange', name);
}

function refuseReserved(kind: string, name: string): void {
  if (name.startsWith('amq.'))
    throw new AdminError(
      'forbidden',
      `ACCESS_REFUSED - ${kind} name '${name}' contains reserved prefix 'amq.*'`,
    );
}

function invalid(key: string, queue: string, why: string): AdminError {
  return new AdminError(
    'different',
    `PRECONDITION_FAILED - invalid arg '${key}' for queue '${queue}' in vhost '/'${why}`,
  );
}

/** @throws AdminError when the queue that stands is another one */
export function checkSameQueue(standing: QueueSpec, wanted: QueueSpec): void {
  checkSame('queue', wanted.name, withType(standing.arguments), withType(wanted.arguments));
}

/** A queue that does not say its type is classic. */
function withType(wanted: Arguments): Arguments {
  return { 'x-queue-type': 'classic', ...wanted };
}

/** @throws AdminError when the exchange that stands is another one */
export function checkSameExchange(standing: ExchangeSpec, wanted: ExchangeSpec): void {
  if (standing.type !== wanted.type)
    throw inequivalent('exchange', wanted.name, 'type', standing.type, wanted.type);
  const key = 'alternate-exchange';
  if (standing.arguments[key] !== wanted.arguments[key])
    throw inequivalent('exchange', wanted.name, key, standing.arguments[key], wanted.arguments[key]);
}

function checkSame(kind: string, name: string, standing: Arguments, wanted: Arguments): void {
  const keys = new Set(
    [...Object.keys(standing), ...Object.keys(wanted)].filter((key) => COMPARED.test(key)),
  );
  const other = [...keys].sort().find((key) => standing[key] !== wanted[key]);
  if (other) throw inequivalent(kind, name, other, standing[other], wanted[other]);
}

type Value = string | number | boolean | undefined;

function inequivalent(kind: string, name: string, key: string, standing: Value, wanted: Value): AdminError {
  const [received, current] = shown(wanted, standing);
  return new AdminError(
    'different',
    `PRECONDITION_FAILED - inequivalent arg '${key}' for ${kind} '${name}' in vhost '/': received ${received} but current is ${current}`,
  );
}

/** The type is told only where the other side has nothing. */
function shown(received: Value, current: Value): [string, string] {
  if (received === undefined) return ['none', typed(current)];
  if (current === undefined) return [typed(received), 'none'];
  return [`'${received}'`, `'${current}'`];
}

function typed(value: Value): string {
  return `the value '${value}' of type '${typeof value === 'number' ? integerType(value) : 'longstr'}'`;
}

/** amqplib writes an integer as the smallest type that holds it. */
function integerType(value: number): string {
  const bits = [8, 16, 32].find((size) => value >= -(2 ** (size - 1)) && value < 2 ** (size - 1));
  return { 8: 'byte', 16: 'short', 32: 'signedint' }[bits ?? 64] ?? 'long';
}
