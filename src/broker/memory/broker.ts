/** A Broker object whose broker is a memory server. */
import { BrokerUnreachableError } from '../../core/errors.ts';
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
} from '../broker.ts';
import { MemoryAdminChannel } from './admin.ts';
import { Link } from './link.ts';
import { MemoryPublisher } from './publisher.ts';
import type { MemoryServer } from './server.ts';
import { MemorySubscription } from './subscription.ts';

const ROLES = ['publishing', 'consuming'] as const;
const ADMIN_CONNECT_MS = 10_000;

type Listeners = { [E in keyof BrokerEvents]: Set<(data: BrokerEvents[E]) => void> };

export class MemoryBroker implements Broker {
  /** The server behind it, for other Broker objects, for looking and for faults. */
  readonly server: MemoryServer;
  readonly #links: Record<ConnectionRole, Link>;
  readonly #publisher: MemoryPublisher;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #listeners: Listeners = {
    connected: new Set(),
    disconnected: new Set(),
    blocked: new Set(),
    unblocked: new Set(),
    stale: new Set(),
  };
  #closed = false;

  /** @internal made by `server.broker()` */
  constructor(server: MemoryServer) {
    this.server = server;
    this.#links = { publishing: this.#link('publishing'), consuming: this.#link('consuming') };
    const { store, faults, clientClock } = server;
    const blockedBy = () => server.blockedBy;
    this.#publisher = new MemoryPublisher({
      link: this.#links.publishing,
      store,
      faults,
      clock: clientClock,
      blockedBy,
    });
  }

  get status(): BrokerStatus {
    const wanted = this.#allLinks.filter(({ isWanted }) => isWanted);
    const connected = wanted.length > 0 && wanted.every(({ isOpen }) => isOpen);
    const blocked = this.#links.publishing.isOpen ? this.server.blockedBy : undefined;
    return {
      connected,
      blocked,
      version: this.#allLinks.some(({ session }) => session > 0) ? 'memory' : undefined,
    };
  }

  async connect({
    timeout,
    roles = ROLES,
  }: {
    timeout: number;
    roles?: readonly ConnectionRole[];
  }): Promise<void> {
    if (this.#closed) throw new BrokerUnreachableError('this broker object was closed; make another one');
    const links = roles.map((role) => this.#links[role]);
    for (const link of links) link.want();
    if (await this.#allOpen(links, timeout)) return;
    for (const link of links) link.end();
    throw new BrokerUnreachableError(
      `the memory server could not be reached within ${timeout} ms; is it stopped?`,
    );
  }

  publish(publication: Publication, options?: PublishOptions): Promise<void> {
    return this.#publisher.publish(publication, options);
  }

  subscribe(queue: string, options: SubscribeOptions): Subscription {
    const { store, faults, clientClock } = this.server;
    const stale = (from: string) => this.#emit('stale', { queue: from });
    const link = this.#links.consuming;
    const subscription = new MemorySubscription(queue, options, {
      link,
      store,
      faults,
      clock: clientClock,
      stale,
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async admin<T>(use: (channel: AdminChannel) => Promise<T>): Promise<T> {
    const { consuming } = this.#links;
    if (this.#closed) throw new AdminError('unavailable', 'this broker object was closed');
    consuming.want();
    if (!(await this.#allOpen([consuming], ADMIN_CONNECT_MS)))
      throw new AdminError('unavailable', 'the memory server could not be reached; is it stopped?');
    const channel = new MemoryAdminChannel(consuming, this.server.store, this.server.faults);
    try {
      return await use(channel);
    } finally {
      channel.close();
    }
  }

  async close(timeout: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#publisher.close(timeout);
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close(0)));
    for (const link of this.#allLinks) link.end();
    this.server.forget(this);
  }

  on<E extends keyof BrokerEvents>(event: E, listener: (data: BrokerEvents[E]) => void): () => void {
    const listeners: Set<(data: BrokerEvents[E]) => void> = this.#listeners[event];
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  // --- what a test does to it ---

  /** Cuts these connections (default both); they stay away until `reconnect`. */
  disconnect(...roles: ConnectionRole[]): void {
    for (const link of this.#linksOf(roles)) link.takeAway('the connection was cut');
  }

  /** Lets these connections (default both) come back, which they do by themselves. */
  reconnect(...roles: ConnectionRole[]): void {
    for (const link of this.#linksOf(roles)) link.giveBack();
  }

  /** Closes the channels that consume `queue`, as the broker does when an ack takes too long. They attach again. */
  interrupt(queue: string): void {
    const reason = 'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out';
    for (const subscription of this.#subscriptions) {
      if (subscription.queue === queue) subscription.interrupt(reason);
    }
  }

  /** @internal an alarm began, or ended */
  alarmChanged(reason: string | undefined): void {
    if (!this.#links.publishing.isOpen) return;
    if (reason === undefined) this.#emit('unblocked', {});
    else this.#emit('blocked', { reason });
    this.#publisher.flush();
  }

  get #allLinks(): Link[] {
    return ROLES.map((role) => this.#links[role]);
  }

  #linksOf(roles: readonly ConnectionRole[]): Link[] {
    return (roles.length === 0 ? ROLES : roles).map((role) => this.#links[role]);
  }

  #link(role: ConnectionRole): Link {
    return new Link(role, this.server.store.defer, {
      connected: (event) => this.#connected(event),
      disconnected: (event) => this.#emit('disconnected', event),
    });
  }

  #connected(event: BrokerEvents['connected']): void {
    this.#emit('connected', event);
    const { blockedBy } = this.server;
    if (event.role === 'publishing' && blockedBy !== undefined) this.#emit('blocked', { reason: blockedBy });
  }

  /** Whether all were open before `timeout` ms had passed; 0 waits for ever. */
  #allOpen(links: Link[], timeout: number): Promise<boolean> {
    return new Promise((resolve) => {
      const { clientClock } = this.server;
      const timer = timeout > 0 ? clientClock.setTimeout(() => done(false), timeout) : undefined;
      const look = () => links.every(({ isOpen }) => isOpen) && done(true);
      const unwatch = links.map((link) => link.watch({ up: look, down: () => {} }));
      const done = (open: boolean) => {
        if (timer !== undefined) clientClock.clearTimeout(timer);
        for (const end of unwatch) end();
        resolve(open);
      };
      look();
    });
  }

  #emit<E extends keyof BrokerEvents>(event: E, data: BrokerEvents[E]): void {
    for (const listener of this.#listeners[event]) listener(data);
  }
}
