import type { Entry } from './entry.ts';

/**
 * One listener a signal: a worker gives the same one to all its copies. A removed listener goes on pointing to
 * the next one, so that a listener each keeps message after message from the young generation's collector.
 */
interface Obeying {
  readonly entries: Set<Entry>;
  readonly abort: () => void;
}

/** The abort signals of publications that are not settled yet. */
export class ObeyedSignals {
  readonly #obeying = new Map<AbortSignal, Obeying>();
  readonly #onAbort: (entry: Entry) => void;

  constructor(onAbort: (entry: Entry) => void) {
    this.#onAbort = onAbort;
  }

  /** Until the entry calls its `release`. A signal that was aborted before is not looked at. */
  obey(entry: Entry, signal: AbortSignal): void {
    const obeying = this.#obeying.get(signal) ?? this.#listen(signal);
    obeying.entries.add(entry);
    entry.release = () => {
      obeying.entries.delete(entry);
      if (obeying.entries.size > 0) return;
      signal.removeEventListener('abort', obeying.abort);
      this.#obeying.delete(signal);
    };
  }

  #listen(signal: AbortSignal): Obeying {
    const entries = new Set<Entry>();
    const abort = () => {
      for (const entry of [...entries]) this.#onAbort(entry);
    };
    signal.addEventListener('abort', abort);
    const obeying = { entries, abort };
    this.#obeying.set(signal, obeying);
    return obeying;
  }
}
