/**
 * Time, and the order in which things happen. One event at a time: what it sets off in promises is done before the
 * next one begins, so the same events in the same order are the same history. While it is installed, the timers
 * and clocks of Node are its own.
 */

/** Whose code an event runs: a process that has crashed runs no more. */
export interface Owner {
  readonly name: string;
  alive: boolean;
}

export interface Scheduled {
  cancel(): void;
}

interface Event extends Scheduled {
  readonly at: number;
  readonly order: number;
  readonly owner: Owner | undefined;
  readonly call: () => void;
  /** As of a timer that is not unref'd: the world is not at rest while it is to come. */
  keeps: boolean;
  over: boolean;
}

const realImmediate = globalThis.setImmediate;
const EPOCH = Date.UTC(2030, 0, 1);
const REPLACED = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'setImmediate',
  'performance',
];

export class Scheduler {
  /** Ms since the history began; what performance.now() says. */
  now = 0;
  /** Events so far. */
  steps = 0;
  #order = 0;
  #keeping = 0;
  #heap: Event[] = [];
  #current: Owner | undefined;
  readonly #onFault: (owner: Owner | undefined, error: unknown) => void;

  /** `onFault` is told what nobody caught. */
  constructor(onFault: (owner: Owner | undefined, error: unknown) => void) {
    this.#onFault = onFault;
  }

  get current(): Owner | undefined {
    return this.#current;
  }

  /** Nothing is to come but timers that keep no process alive. */
  get atRest(): boolean {
    return this.#keeping === 0;
  }

  /** What Date.now() says when a history begins. */
  get epoch(): number {
    return EPOCH;
  }

  /** What Date.now() says. */
  get wall(): number {
    return Math.floor(EPOCH + this.now);
  }

  after(owner: Owner | undefined, ms: number, call: () => void): Scheduled {
    return this.at(owner, this.now + Math.max(0, ms), call);
  }

  /** What is at the same moment happens in the order in which it was asked for. */
  at(owner: Owner | undefined, moment: number, call: () => void): Scheduled {
    return this.#add(moment, owner, call);
  }

  /** Runs the next event and all that follows from it at once; false when there is none. */
  async step(): Promise<boolean> {
    const event = this.#take();
    if (!event) return false;
    this.now = Math.max(this.now, event.at);
    this.steps++;
    this.#current = event.owner;
    try {
      event.call();
    } catch (error) {
      this.#onFault(event.owner, error);
    }
    await new Promise<void>((resolve) => void realImmediate(resolve));
    this.#current = undefined;
    return true;
  }

  /** Its events will never happen. */
  forget(owner: Owner): void {
    for (const event of this.#heap) if (event.owner === owner) event.cancel();
  }

  /** Replaces Node's timers and clocks until the function it returns is called. */
  install(): () => void {
    const before = REPLACED.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
    const dateNow = Date.now;
    const rejected = (error: unknown) => this.#onFault(this.#current, error);
    Object.entries(this.#globals()).forEach(([name, value]) => {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    });
    Date.now = () => this.wall;
    process.on('unhandledRejection', rejected);
    return () => {
      REPLACED.forEach((name, index) => {
        Object.defineProperty(globalThis, name, before[index] as PropertyDescriptor);
      });
      Date.now = dateNow;
      process.off('unhandledRejection', rejected);
    };
  }

  #globals(): Record<string, unknown> {
    const cancel = (timer?: Timer) => timer?.cancel();
    return {
      setTimeout: (call: () => void, ms?: number) => this.#timer(call, ms),
      clearTimeout: cancel,
      setInterval: (call: () => void, ms?: number) => this.#timer(call, ms, true),
      clearInterval: cancel,
      setImmediate: (call: () => void) => this.after(this.#current, 0, call),
      performance: { now: () => this.now },
    };
  }

  #timer(call: () => void, ms = 0, again = false): Timer {
    const owner = this.#current;
    return new Timer(
      (fired) => this.#add(this.now + wholeMs(ms), owner, fired),
      call,
      again,
      (event, keeps) => this.#keep(event, keeps),
    );
  }

  #add(at: number, owner: Owner | undefined, call: () => void): Event {
    const event: Event = {
      at,
      order: this.#order++,
      owner,
      call,
      keeps: true,
      over: owner?.alive === false,
      cancel: () => this.#end(event),
    };
    if (event.over) return event;
    this.#keeping++;
    this.#push(event);
    return event;
  }

  #keep(event: Scheduled, keeps: boolean): void {
    const it = event as Event;
    if (it.over || it.keeps === keeps) return;
    it.keeps = keeps;
    this.#keeping += keeps ? 1 : -1;
  }

  #end(event: Event): void {
    if (event.over) return;
    event.over = true;
    if (event.keeps) this.#keeping--;
  }

  #take(): Event | undefined {
    for (let event = this.#pop(); event; event = this.#pop()) {
      if (event.over) continue;
      this.#end(event);
      return event;
    }
    return undefined;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    for (let up = (at - 1) >> 1; at > 0 && isBefore(event, heap[up] as Event); up = (at - 1) >> 1) {
      heap[at] = heap[up] as Event;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length > 0 && last) this.#sink(last);
    return first;
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    let at = 0;
    for (let down = 1; down < heap.length; down = at * 2 + 1) {
      if (down + 1 < heap.length && isBefore(heap[down + 1] as Event, heap[down] as Event)) down++;
      if (!isBefore(heap[down] as Event, event)) break;
      heap[at] = heap[down] as Event;
      at = down;
    }
    heap[at] = event;
  }
}

/** What Node's setTimeout and setInterval return, as far as warren uses it. */
class Timer {
  #event: Scheduled;
  #keeps = true;
  readonly #keep: (event: Scheduled, keeps: boolean) => void;

  constructor(
    schedule: (fired: () => void) => Scheduled,
    call: () => void,
    again: boolean,
    keep: (event: Scheduled, keeps: boolean) => void,
  ) {
    this.#keep = keep;
    const fired = () => {
      if (again) {
        this.#event = schedule(fired);
        keep(this.#event, this.#keeps);
      }
      call();
    };
    this.#event = schedule(fired);
  }

  ref(): this {
    return this.#be(true);
  }

  unref(): this {
    return this.#be(false);
  }

  hasRef(): boolean {
    return this.#keeps;
  }

  cancel(): void {
    this.#event.cancel();
  }

  #be(keeps: boolean): this {
    this.#keeps = keeps;
    this.#keep(this.#event, keeps);
    return this;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** As Node: a whole number of ms, 1 at least. */
function wholeMs(ms: number): number {
  return ms >= 1 ? Math.trunc(ms) : 1;
}
