/**
 * The broker contract in memory: for tests of warren, and for tests of what is built with it, that need no broker.
 * It imitates RabbitMQ where that can hurt: expiry at the head only, dead letters that hold each other up,
 * delivery limits, what closes a channel. Where versions differ it does what is harder to live with.
 */
import type { MemoryBroker } from './memory/broker.ts';
import { type MemoryOptions, MemoryServer } from './memory/server.ts';

export type { MemoryBroker } from './memory/broker.ts';
export { type Clock, ManualClock } from './memory/clock.ts';
export type { PublishFault } from './memory/faults.ts';
export type { MemoryMessage, MemoryOptions, MemoryServer } from './memory/server.ts';

/** A broker in memory, for several Broker objects: `server.broker()`. */
export function createMemoryServer(options: MemoryOptions = {}): MemoryServer {
  return new MemoryServer(options);
}

/** One Broker object on a memory server of its own (`broker.server`). */
export function createMemoryBroker(options: MemoryOptions = {}): MemoryBroker {
  return createMemoryServer(options).broker();
}
