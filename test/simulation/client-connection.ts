/**
 * A stand-in for src/broker/connection.ts: one connection that is opened again for as long as it is wanted, told
 * to the same watchers in the same order. The real one is wired to amqp-connection-manager and sockets; it is tested
 * against real brokers and a fake peer.
 */
import type { Channel, ConfirmChannel } from 'amqplib';
import type { ConnectionRole } from '../../src/broker/broker.ts';
import type { Connection, ConnectionWatcher } from '../../src/broker/connection.ts';
import { settledWithin, within } from '../../src/deadline.ts';
import { ClientChannel } from './client-channel.ts';
import type { Owner } from './scheduler.ts';
import type { Server } from './server.ts';
import { ServerLink } from './server-link.ts';

const CHANNEL_OPEN_MS = 10_000;

export class ClientConnection {
  readonly role: ConnectionRole;
  readonly owner: Owner;
  readonly server = 'amqp://simulated';
  readonly channels = new Set<ClientChannel>();
  readonly #server: Server;
  readonly #watchers = new Set<ConnectionWatcher>();
  #link: ServerLink | undefined;
  #lastLink: ServerLink | undefined;
  #wanted = false;
  #goodbye = false;
  #reason = 'it was not opened yet';
  #blockedBy: string | undefined;
  #onGone: (() => void) | undefined;

  constructor(role: ConnectionRole, owner: Owner, server: Server) {
    this.role = role;
    this.owner = owner;
    this.#server = server;
  }

  /** As what warren's publisher and consumer take it for. */
  get asConnection(): Connection {
    return this as unknown as Connection;
  }

  get isUp(): boolean {
    return this.#link !== undefined;
  }

  get reason(): string {
    return this.#reason;
  }

  get blockedBy(): string | undefined {
    return this.#blockedBy;
  }

  /** The server has said that it closes: amqplib takes no more. */
  get saysGoodbye(): boolean {
    return this.#goodbye;
  }

  /** The connection that is up, or was last. */
  get link(): ServerLink | undefined {
    return this.#link;
  }

  watch(watcher: ConnectionWatcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  hurry(): void {}

  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#tryIn(this.#server.random.between(1, 10));
  }

  openChannel(): Promise<Channel> {
    return this.#channel() as Promise<unknown> as Promise<Channel>;
  }

  openConfirmChannel(): Promise<ConfirmChannel> {
    return this.#channel() as Promise<unknown> as Promise<ConfirmChannel>;
  }

  /** As the real one: politely until `timeout`, then the socket is destroyed. */
  async close(timeout: number): Promise<void> {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#reason = 'it was closed';
    const link = this.#link;
    if (!link) return;
    this.#goodbye = true;
    this.#forget();
    const gone = new Promise<void>((resolve) => (this.#onGone = resolve));
    link.wire.toServer.send(() => {
      link.close();
      link.wire.toClient.send(() => this.#gone());
    });
    await settledWithin(timeout, gone);
    link.cut({ toServer: 1, toClient: 0 }, { server: 1, client: 0 });
  }

  // --- what happens to it ---

  alarmed(link: ServerLink, reason: string | undefined): void {
    if (this.#link !== link || this.#blockedBy === reason) return;
    this.#blockedBy = reason;
    for (const watcher of [...this.#watchers]) {
      if (reason === undefined) watcher.unblocked?.();
      else watcher.blocked?.();
    }
  }

  goodbye(link: ServerLink): void {
    if (this.#link === link) this.#goodbye = true;
  }

  lost(link: ServerLink, reason: string): void {
    if (this.#lastLink !== link) return;
    this.#reason = reason;
    this.#gone();
    if (this.#link !== link) return;
    this.#forget();
    if (this.#wanted) this.#tryIn(this.#server.random.between(0, 400));
  }

  #gone(): void {
    for (const channel of [...this.channels]) channel.ended();
    this.#onGone?.();
  }

  #forget(): void {
    this.#link = undefined;
    if (this.#blockedBy !== undefined) {
      this.#blockedBy = undefined;
      for (const watcher of [...this.#watchers]) watcher.unblocked?.();
    }
    for (const watcher of [...this.#watchers]) watcher.down?.();
  }

  #tryIn(ms: number): void {
    this.#server.scheduler.after(this.owner, ms, () => {
      if (!this.#wanted || this.#link) return;
      if (this.#server.isUp) this.#up();
      else this.#tryIn(this.#server.random.between(50, 1500));
    });
  }

  #up(): void {
    this.#goodbye = false;
    this.#link = new ServerLink(this.#server, this);
    this.#lastLink = this.#link;
    for (const watcher of [...this.#watchers]) watcher.up?.();
  }

  async #channel(): Promise<ClientChannel> {
    const link = this.#link;
    if (!link || this.#goodbye) throw new Error(`not connected to ${this.server}: ${this.#reason}`);
    const opening = this.#opened(link);
    try {
      const channel = await within(CHANNEL_OPEN_MS, 'opening a channel', opening);
      channel.on('error', () => {});
      return channel;
    } catch (error) {
      opening.then((late) => late.close()).catch(() => {});
      throw error;
    }
  }

  #opened(link: ServerLink): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      const unwatch = this.watch({
        down: () => {
          unwatch();
          reject(new Error('the connection went'));
        },
      });
      link.wire.toServer.send(() => {
        if (!link.isOpen) return;
        const channel = new ClientChannel(this, link);
        link.wire.toClient.send(() => {
          unwatch();
          if (this.#link !== link) return;
          this.channels.add(channel);
          resolve(channel);
        });
      });
    });
  }
}
