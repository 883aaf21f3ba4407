import type { Claimed, IdempotencyStore } from './store.ts';

interface Entry {
  owner: string;
  done: boolean;
  expiresAt: number;
}

const LEAST_SWEPT = 1024;

/** A store for one process: for tests, and where a job's only worker is this process. `now` in ms, default the clock. */
export function memoryStore({ now = Date.now }: { now?: () => number } = {}): IdempotencyStore {
  return new MemoryStore(now);
}

class MemoryStore implements IdempotencyStore {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  #sweepAt = LEAST_SWEPT;

  constructor(now: () => number) {
    this.#now = now;
  }

  async claim(key: string, owner: string, ttlMs: number): Promise<Claimed> {
    const entry = this.#get(key);
    if (entry?.done) return { state: 'done' };
    if (entry && entry.owner !== owner) return { state: 'busy', leftMs: entry.expiresAt - this.#now() };
    this.#set(key, { owner, done: false, expiresAt: this.#now() + ttlMs });
    return { state: 'claimed' };
  }

  async complete(key: string, owner: string, keepMs: number): Promise<boolean> {
    const entry = this.#get(key);
    if (entry && entry.owner !== owner) return false;
    this.#set(key, { owner, done: true, expiresAt: this.#now() + keepMs });
    return true;
  }

  async release(key: string, owner: string): Promise<boolean> {
    const entry = this.#get(key);
    if (!entry || entry.owner !== owner || entry.done) return false;
    return this.#entries.delete(key);
  }

  #get(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && entry.expiresAt > this.#now() ? entry : undefined;
  }

  #set(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    if (this.#entries.size >= this.#sweepAt) this.#sweep();
  }

  /** Each time it has doubled: cheap, and no timer that keeps a process alive. */
  #sweep(): void {
    const now = this.#now();
    for (const [key, { expiresAt }] of this.#entries) if (expiresAt <= now) this.#entries.delete(key);
    this.#sweepAt = Math.max(LEAST_SWEPT, this.#entries.size * 2);
  }
}
