/** Exchanges of the memory server: who gets a message with these keys. Pure. */
import type { ExchangeSpec } from '../../../topology/plan.ts';

export class MemoryExchange {
  readonly spec: ExchangeSpec;
  /** Binding keys of each queue bound to it, and of each exchange. */
  readonly #queues: Bound = new Map();
  readonly #exchanges: Bound = new Map();

  constructor(spec: ExchangeSpec) {
    this.spec = spec;
  }

  /** Where a message goes that no queue of this exchange takes. */
  get alternate(): string | undefined {
    return this.spec.arguments['alternate-exchange'];
  }

  bind(queue: string, key: string): void {
    add(this.#queues, queue, key);
  }

  link(exchange: string, key: string): void {
    add(this.#exchanges, exchange, key);
  }

  forgetQueue(queue: string): void {
    this.#queues.delete(queue);
  }

  forgetExchange(exchange: string): void {
    this.#exchanges.delete(exchange);
  }

  /** Each matching queue and exchange once, however many of its bindings match however many keys. */
  route(keys: readonly string[]): { queues: string[]; exchanges: string[] } {
    const matches = MATCH[this.spec.type];
    const reached = (bound: Bound) =>
      [...bound]
        .filter(([, patterns]) => [...patterns].some((pattern) => keys.some((key) => matches(pattern, key))))
        .map(([name]) => name);
    return { queues: reached(this.#queues), exchanges: reached(this.#exchanges) };
  }
}

type Bound = Map<string, Set<string>>;

function add(bound: Bound, name: string, key: string): void {
  bound.set(name, (bound.get(name) ?? new Set()).add(key));
}

const MATCH: Record<ExchangeSpec['type'], (pattern: string, key: string) => boolean> = {
  direct: (pattern, key) => pattern === key,
  fanout: () => true,
  topic: topicMatches,
};

/** Words between dots: `*` stands for one of them, `#` for any number. */
export function topicMatches(pattern: string, key: string): boolean {
  return wordsMatch(words(pattern), words(key));
}

function words(text: string): string[] {
  return text === '' ? [] : text.split('.');
}

function wordsMatch([wanted, ...rest]: string[], key: string[]): boolean {
  if (wanted === undefined) return key.length === 0;
  if (wanted === '#')
    return wordsMatch(rest, key) || (key.length > 0 && wordsMatch(['#', ...rest], key.slice(1)));
  return key.length > 0 && (wanted === '*' || wanted === key[0]) && wordsMatch(rest, key.slice(1));
}
