/** One connection of a memory broker object, which a test can take away and give back. */
import type { BrokerEvents, ConnectionRole } from '../broker.ts';
import type { MemoryChannel } from './channel.ts';
import type { Defer } from './store.ts';

export const MEMORY_URL = 'memory://';

export interface LinkWatcher {
  up(): void;
  down(reason: string): void;
}

export interface LinkEvents {
  connected(event: BrokerEvents['connected']): void;
  disconnected(event: BrokerEvents['disconnected']): void;
}

export class Link {
  readonly role: ConnectionRole;
  readonly channels = new Set<MemoryChannel>();
  readonly #defer: Defer;
  readonly #events: LinkEvents;
  readonly #watchers = new Set<LinkWatcher>();
  #wanted = false;
  #away: string | undefined;
  #open = false;
  #session = 0;

  constructor(role: ConnectionRole, defer: Defer, events: LinkEvents) {
    this.role = role;
    this.#defer = defer;
    this.#events = events;
  }

  get isWanted(): boolean {
    return this.#wanted;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Another number after each opening: an answer to an earlier one never comes. */
  get session(): number {
    return this.#session;
  }

  watch(watcher: LinkWatcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** Asks for it, from now on. */
  want(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    if (this.#away === undefined) this.#openSoon();
    else this.#tell(this.#away, false);
  }

  /** It goes, and stays away until `giveBack`. */
  takeAway(reason: string): void {
    this.#away = reason;
    this.#lose(reason);
  }

  giveBack(): void {
    this.#away = undefined;
    this.#openSoon();
  }

  /** It goes, and comes back by itself. */
  drop(reason: string): void {
    this.#lose(reason);
    this.#openSoon();
  }

  /** No longer asked for. Says nothing. */
  end(): void {
    this.#wanted = false;
    this.#shut('it was closed');
  }

  #openSoon(): void {
    this.#defer(() => {
      if (!this.#wanted || this.#open || this.#away !== undefined) return;
      this.#open = true;
      this.#session++;
      this.#events.connected({ role: this.role, url: MEMORY_URL });
      for (const watcher of [...this.#watchers]) watcher.up();
    });
  }

  #lose(reason: string): void {
    if (!this.#shut(reason)) return;
    this.#tell(reason, true);
  }

  /** The broker takes back what its channels hold before anyone hears of it. */
  #shut(reason: string): boolean {
    if (!this.#open) return false;
    this.#open = false;
    for (const channel of [...this.channels]) channel.close();
    for (const watcher of [...this.#watchers]) watcher.down(reason);
    return true;
  }

  #tell(reason: string, lost: boolean): void {
    this.#events.disconnected({ role: this.role, url: MEMORY_URL, reason, lost });
  }
}
