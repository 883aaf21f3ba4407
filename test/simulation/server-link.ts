/** The server's end of one connection. */
import type { ClientConnection } from './client-connection.ts';
import type { Server } from './server.ts';
import type { ServerChannel } from './server-channel.ts';
import { Wire } from './wire.ts';

export class ServerLink {
  readonly server: Server;
  readonly client: ClientConnection;
  readonly wire: Wire;
  readonly channels = new Set<ServerChannel>();
  #open = true;

  constructor(server: Server, client: ClientConnection) {
    this.server = server;
    this.client = client;
    this.wire = new Wire(server.scheduler, server.random, client.owner);
    server.links.add(this);
    this.tellAlarm();
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Only connections that publish hear of an alarm, and are read no more. */
  tellAlarm(): void {
    if (this.client.role !== 'publishing') return;
    const { alarm } = this.server;
    if (alarm === undefined) this.wire.toServer.resume();
    else this.wire.toServer.pause();
    this.wire.toClient.send(() => this.client.alarmed(this, alarm));
  }

  /** The server knows that it is over: what its channels hold goes back. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.server.links.delete(this);
    for (const channel of [...this.channels]) channel.close();
  }

  /** The network goes, with what is under way but for these parts; each side notices in its own time (ms). */
  cut(parts: { toServer: number; toClient: number }, notice: { server: number; client: number }): void {
    const { scheduler } = this.server;
    const lastIn = this.wire.toServer.cut(parts.toServer);
    const lastOut = this.wire.toClient.cut(parts.toClient);
    scheduler.after(undefined, Math.max(lastIn, notice.server), () => this.close());
    scheduler.after(this.client.owner, Math.max(lastOut, notice.client), () =>
      this.client.lost(this, 'the connection was cut'),
    );
  }

  /** An operator or a shutdown ends it: a goodbye, after which the client may send nothing. */
  lose(): void {
    const { scheduler, random } = this.server;
    this.close();
    this.wire.toClient.send(() => this.client.goodbye(this));
    const last = this.wire.toClient.cut(1);
    this.wire.toServer.cut(0);
    scheduler.after(this.client.owner, last + random.between(0, 3), () =>
      this.client.lost(this, 'CONNECTION_FORCED'),
    );
  }
}
