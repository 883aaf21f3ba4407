/** The broker contract kept by RabbitMQ, from 3.10 on. */
import { EventEmitter } from 'node:events';
import { BrokerUnreachableError, ConfigurationError } from '../core/errors.ts';
import { messageOf } from '../deadline.ts';
import { RabbitAdminChannel } from './admin.ts';
import {
  type AdminChannel,
  AdminError,
  type Broker,
  type BrokerEvents,
  type BrokerStatus,
  type ConnectionRole,
  type Publication,
  type PublishOptions,
  type SubscribeOptions,
  type Subscription,
} from './broker.ts';
import { Connection } from './connection.ts';
import { Consumer } from './consumer.ts';
import { Publisher } from './publisher.ts';
import { parseServer } from './server.ts';

export interface RabbitBrokerOptions {
  /** AMQP URLs, tried in turn. */
  urls: readonly string[];
  /** Seconds, default 10; a `heartbeat` in the URL goes first. */
  heartbeat?: number | undefined;
  /** Unconfirmed publications at most, default 1000; more wait their turn. */
  maxInFlight?: number | undefined;
  /** How connections are called in the management UI, with `:publishing` or `:consuming` behind. Default `warren`. */
  connectionName?: string | undefined;
  /** For one try to open a connection, default 10,000. */
  connectTimeoutMs?: number | undefined;
  random?: (() => number) | undefined;
}

/** The broker's own words for a login that it refuses. */
const REFUSED_LOGIN = /ACCESS.REFUSED|403/;

function whatToDo(reason: string): string {
  return REFUSED_LOGIN.test(reason)
    ? 'Are user and password right, and may that user use the vhost?'
    : 'Is it running, and is the URL right?';
}

/** How long a connection may take to say goodbye. */
const GOODBYE_MS = 2000;
const SHORTEST_GOODBYE_MS = 100;
const ADMIN_CONNECT_MS = 10_000;
/** Giving many messages back in their order takes a while. */
const ADMIN_CLOSE_MS = 30_000;
const BOTH: readonly ConnectionRole[] = ['publishing', 'consuming'];

/** @throws ConfigurationError when a URL cannot be used. */
export function createRabbitBroker(options: RabbitBrokerOptions): Broker {
  return new RabbitBroker(options);
}

class RabbitBroker implements Broker {
  readonly #events = new EventEmitter();
  readonly #connections: Record<ConnectionRole, Connection>;
  readonly #publisher: Publisher;
  /** Made when something is first published apart. */
  #apart: Publisher | undefined;
  readonly #maxInFlight: number;
  readonly #random: () => number;
  #closed = false;

  constructor(options: RabbitBrokerOptions) {
    if (options.urls.length === 0) throw new ConfigurationError('no broker URL was given; set AMQP_URL');
    this.#random = options.random ?? Math.random;
    this.#events.setMaxListeners(0);
    const servers = options.urls.map(parseServer);
    const connection = (role: ConnectionRole) =>
      new Connection({
        role,
        servers,
        heartbeat: options.heartbeat ?? 10,
        name: `${options.connectionName ?? 'warren'}:${role}`,
        connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
        random: this.#random,
        emit: (event, data) => this.#emit(event, data),
      });
    this.#connections = { publishing: connection('publishing'), consuming: connection('consuming') };
    this.#maxInFlight = options.maxInFlight ?? 1000;
    this.#publisher = this.#newPublisher();
  }

  #newPublisher(): Publisher {
    const { publishing: connection } = this.#connections;
    return new Publisher({ connection, maxInFlight: this.#maxInFlight, random: this.#random });
  }

  get status(): BrokerStatus {
    const all = Object.values(this.#connections);
    const wanted = all.filter((connection) => connection.wanted);
    return {
      connected: wanted.length > 0 && wanted.every((connection) => connection.isUp),
      blocked: all.find(({ blockedBy }) => blockedBy !== undefined)?.blockedBy,
      version: all.find(({ version }) => version !== undefined)?.version,
    };
  }

  async connect({
    timeout,
    roles = BOTH,
  }: {
    timeout: number;
    roles?: readonly ConnectionRole[];
  }): Promise<void> {
    if (this.#closed)
      throw new BrokerUnreachableError('this broker object was closed: make another one to connect');
    const connections = roles.map((role) => this.#connections[role]);
    for (const connection of connections) connection.open();
    try {
      await Promise.all(connections.map((connection) => connection.whenUp(timeout)));
    } catch {
      const missing = connections.find(({ isUp }) => !isUp) ?? (connections[0] as Connection);
      const { server, reason } = missing;
      if (this.#closed) throw new BrokerUnreachableError(`closed while it was connecting to ${server}`);
      await Promise.all(connections.map((connection) => connection.close(0)));
      throw new BrokerUnreachableError(
        `no broker could be reached within ${timeout} ms; last tried ${server}: ${reason}. ${whatToDo(reason)}`,
      );
    }
  }

  publish(publication: Publication, options?: PublishOptions): Promise<void> {
    if (options?.apart && !this.#closed) this.#apart ??= this.#newPublisher();
    const publisher = options?.apart ? (this.#apart ?? this.#publisher) : this.#publisher;
    return publisher.publish(publication, options);
  }

  subscribe(queue: string, options: SubscribeOptions): Subscription {
    return new Consumer(queue, options, {
      connection: this.#connections.consuming,
      random: this.#random,
      onStale: (stale) => this.#emit('stale', { queue: stale }),
    });
  }

  async admin<T>(use: (channel: AdminChannel) => Promise<T>): Promise<T> {
    const admin = new RabbitAdminChannel(await this.#openAdmin());
    try {
      return await use(admin);
    } finally {
      await admin.close(ADMIN_CLOSE_MS).catch(() => {});
    }
  }

  async close(timeout: number): Promise<void> {
    this.#closed = true;
    const until = performance.now() + timeout;
    await Promise.all([this.#publisher.close(timeout), this.#apart?.close(timeout)]);
    const goodbye = Math.max(SHORTEST_GOODBYE_MS, Math.min(GOODBYE_MS, until - performance.now()));
    await Promise.all(Object.values(this.#connections).map((connection) => connection.close(goodbye)));
  }

  on<E extends keyof BrokerEvents>(event: E, listener: (data: BrokerEvents[E]) => void): () => void {
    this.#events.on(event, listener);
    return () => void this.#events.off(event, listener);
  }

  async #openAdmin() {
    const { consuming } = this.#connections;
    if (this.#closed) throw new AdminError('unavailable', 'this broker object was closed');
    consuming.open();
    try {
      if (!consuming.isUp) consuming.hurry();
      await consuming.whenUp(ADMIN_CONNECT_MS);
      return await consuming.openChannel();
    } catch (error) {
      throw new AdminError(
        'unavailable',
        `no channel to ${consuming.server}: ${messageOf(error)} (${consuming.reason})`,
      );
    }
  }

  /** A listener's fault must not reach the connection it listens to. */
  #emit<E extends keyof BrokerEvents>(event: E, data: BrokerEvents[E]): void {
    for (const listener of this.#events.listeners(event)) {
      try {
        listener(data);
      } catch {
        // Its own.
      }
    }
  }
}
