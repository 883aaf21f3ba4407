/** The scenarios as they run inside a side's process: the same code drives both sides. */

import { payload, type Rig, RUNG_MS, type Worker, type WorkerOptions } from './rig.ts';
import { median, percentile, slope } from './stats.ts';

/** One round asked of a side. For all but `enqueue…` and the paced kinds the parent has filled the queue before. */
export interface Order {
  kind: 'enqueue' | 'enqueueMany' | 'drain' | 'memory' | 'retry' | 'latency' | 'lateness';
  queue: string;
  jobs: number;
  /** How many enqueues are under way at once, or how many jobs run at once. */
  width: number;
  /** Enqueues a second, of the paced kinds. */
  rate?: number | undefined;
  /** With the log lines of the product's default level; bare has none to write. */
  logs?: boolean | undefined;
}

export interface Round {
  jobs: number;
  seconds: number;
  cpuMicros: number;
  rss: number;
  heap: number;
  /** How many runs began beyond those that had to. */
  repeats: number;
  /** Milliseconds, of the kinds that tell them. */
  p50?: number;
  p99?: number;
  /** Of `memory`: what the process held after so many jobs, garbage collected before. */
  samples?: MemorySample[];
  /** Bytes of heap and buffers that each further job left behind. */
  growthPerJob?: number;
}

export interface MemorySample {
  jobs: number;
  seconds: number;
  rss: number;
  held: number;
}

export function drive(rig: Rig, order: Order): Promise<Round> {
  return DRIVERS[order.kind](rig, order);
}

const DRIVERS: Record<Order['kind'], (rig: Rig, order: Order) => Promise<Round>> = {
  enqueue: driveEnqueue,
  enqueueMany: driveEnqueueMany,
  drain: (rig, order) => driveDrain(rig, order),
  memory: driveMemory,
  retry: driveRetry,
  latency: driveLatency,
  lateness: driveLateness,
};

async function driveEnqueue(rig: Rig, { queue, jobs, width }: Order): Promise<Round> {
  const sender = await rig.sender(queue);
  const meter = new Meter(jobs);
  let next = 0;
  async function lane(): Promise<void> {
    while (next < jobs) await sender.send(payload(next++));
  }
  meter.start();
  await Promise.all(Array.from({ length: width }, lane));
  meter.stop();
  await sender.close();
  return meter.round();
}

async function driveEnqueueMany(rig: Rig, { queue, jobs, width }: Order): Promise<Round> {
  const sender = await rig.sender(queue);
  const meter = new Meter(jobs);
  meter.start();
  for (let sent = 0; sent < jobs; sent += width)
    await sender.sendMany(Array.from({ length: Math.min(width, jobs - sent) }, (_, n) => payload(sent + n)));
  meter.stop();
  await sender.close();
  return meter.round();
}

/** Measured from the beginning of the first run to the beginning of the last, so that connecting is left out. */
async function driveDrain(rig: Rig, order: Order, sample?: (begun: number) => void): Promise<Round> {
  const meter = new Meter(order.jobs);
  let begun = 0;
  const worker = await working(rig, order, async () => {
    if (begun === 0) meter.start();
    begun++;
    sample?.(begun);
    if (begun === order.jobs) meter.stop();
  });
  await meter.stopped;
  await worker.stop();
  return { ...meter.round(), repeats: begun - order.jobs };
}

const MEMORY_SAMPLES = 50;
/** The share of the run after which caches, pools and machine code count as warm. */
const WARM = 0.2;

async function driveMemory(rig: Rig, order: Order): Promise<Round> {
  const samples: MemorySample[] = [];
  const began = performance.now();
  const every = Math.ceil(order.jobs / MEMORY_SAMPLES);
  const round = await driveDrain(rig, order, (begun) => {
    if (begun % every !== 0) return;
    globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    samples.push({
      jobs: begun,
      seconds: (performance.now() - began) / 1000,
      rss,
      held: heapUsed + external,
    });
  });
  const warm = samples.filter(({ jobs }) => jobs >= order.jobs * WARM);
  return { ...round, samples, growthPerJob: slope(warm.map(({ jobs, held }) => [jobs, held])) };
}

/** Measured from the first run to the confirm of the last retry copy; the second attempts come after, by FIFO. */
async function driveRetry(rig: Rig, order: Order): Promise<Round> {
  const meter = new Meter(order.jobs);
  const ended = new Countdown(order.jobs);
  let [first, copies] = [0, 0];
  const worker = await working(
    rig,
    order,
    async (_, attempt) => {
      if (attempt > 1) return ended.one();
      if (first++ === 0) meter.start();
      throw new Error('fails at its first attempt');
    },
    () => {
      if (++copies === order.jobs) meter.stop();
    },
  );
  await meter.stopped;
  await ended.over;
  await worker.stop();
  return { ...meter.round(), repeats: first - order.jobs - ended.left };
}

/** Jobs enqueued at an even pace and run by the same process, so that one clock times both ends. */
async function driveLatency(rig: Rig, order: Order): Promise<Round> {
  return drivePaced(
    rig,
    order,
    order.jobs,
    (sample) =>
      async ({ at }) =>
        sample(performance.now() - at),
  );
}

/** Each job fails once; how long after its second was over does it run again? */
async function driveLateness(rig: Rig, order: Order): Promise<Round> {
  const failedAt = new Map<number, number>();
  return drivePaced(rig, order, order.jobs, (sample) => async ({ n }, attempt) => {
    const failed = failedAt.get(n);
    if (attempt > 1 && failed !== undefined) return sample(performance.now() - failed - RUNG_MS);
    failedAt.set(n, performance.now());
    throw new Error('fails at its first attempt');
  });
}

type Perform = WorkerOptions['perform'];

async function drivePaced(
  rig: Rig,
  order: Order,
  jobs: number,
  performing: (sample: (ms: number) => void) => Perform,
): Promise<Round> {
  const [samples, ended] = [[] as number[], new Countdown(jobs)];
  const meter = new Meter(jobs);
  const sender = await rig.sender(order.queue);
  const worker = await working(
    rig,
    order,
    performing((ms) => {
      samples.push(ms);
      ended.one();
    }),
  );
  meter.start();
  await pace(jobs, order.rate ?? 200, (n) => sender.send(payload(n, performance.now())));
  await ended.over;
  meter.stop();
  await worker.stop();
  await sender.close();
  return { ...meter.round(), repeats: -ended.left, p50: median(samples), p99: percentile(samples, 99) };
}

async function pace(times: number, perSecond: number, act: (n: number) => Promise<unknown>): Promise<void> {
  const began = performance.now();
  const sent: Promise<unknown>[] = [];
  for (let n = 0; n < times; n++) {
    const early = began + (n * 1000) / perSecond - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    sent.push(act(n));
  }
  await Promise.all(sent);
}

function working(rig: Rig, order: Order, perform: Perform, retried?: () => void): Promise<Worker> {
  const { queue, width: concurrency, logs = false } = order;
  return rig.worker({ queue, concurrency, perform, retried, logs });
}

class Countdown {
  left: number;
  readonly over: Promise<void>;
  #end: () => void = () => {};

  constructor(count: number) {
    this.left = count;
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  one(): void {
    if (--this.left === 0) this.#end();
  }
}

class Meter {
  readonly stopped: Promise<void>;
  readonly #jobs: number;
  #end: () => void = () => {};
  #began = 0;
  #seconds = 0;
  #cpu: NodeJS.CpuUsage = process.cpuUsage();
  #memory = process.memoryUsage();

  constructor(jobs: number) {
    this.#jobs = jobs;
    this.stopped = new Promise((resolve) => {
      this.#end = resolve;
    });
    globalThis.gc?.();
  }

  start(): void {
    this.#cpu = process.cpuUsage();
    this.#began = performance.now();
  }

  stop(): void {
    this.#seconds = (performance.now() - this.#began) / 1000;
    this.#cpu = process.cpuUsage(this.#cpu);
    this.#memory = process.memoryUsage();
    this.#end();
  }

  round(): Round {
    return {
      jobs: this.#jobs,
      seconds: this.#seconds,
      cpuMicros: this.#cpu.user + this.#cpu.system,
      rss: this.#memory.rss,
      heap: this.#memory.heapUsed,
      repeats: 0,
    };
  }
}
