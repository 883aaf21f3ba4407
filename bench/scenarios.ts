/** What is measured, at which sizes, and what it should reach. */
import type { SideName } from './child.ts';
import type { Order } from './drive.ts';

export interface Scenario extends Omit<Order, 'queue'> {
  name: string;
  title: string;
  sides: readonly SideName[];
  /** Timed rounds of each side, after one that only warms up. */
  rounds: number;
  quick: { jobs: number; rounds: number };
  aims: Aims;
}

export interface Aims {
  /** Throughput, warren ÷ bare, at least. */
  throughput?: number;
  /** Client CPU a job, warren ÷ bare, at most. */
  cpu?: number;
  /** p99, warren − bare, at most, in ms. */
  p99Over?: number;
  /** p99 at most, in ms. */
  p99?: number;
  /** Growth in bytes a job, at most. */
  growth?: number;
}

const PAIR = ['warren', 'bare'] as const;
const TRIO = ['warren', 'bare', 'floor'] as const;
const CPU = 2;

export const SCENARIOS: readonly Scenario[] = [
  enqueue(1, 2_000, {}),
  enqueue(100, 30_000, { throughput: 0.9, cpu: CPU }),
  enqueue(1000, 50_000, { throughput: 0.9, cpu: CPU }),
  {
    ...enqueue(1000, 50_000, { cpu: CPU }),
    kind: 'enqueueMany',
    name: 'enqueue-many',
    title: 'enqueueMany, 1000 each',
  },
  drain(1, 3_000, {}),
  drain(10, 20_000, { throughput: 3, cpu: CPU }),
  drain(100, 50_000, { throughput: 2, cpu: CPU }),
  drain(300, 60_000, { throughput: 1.8, cpu: CPU }),
  {
    ...drain(100, 50_000, {}),
    name: 'drain-logged',
    title: 'drain, concurrency 100, with logs',
    sides: PAIR,
    logs: true,
  },
  {
    name: 'latency',
    title: 'latency at 200 jobs/s',
    kind: 'latency',
    sides: PAIR,
    width: 10,
    rate: 200,
    jobs: 1_000,
    rounds: 5,
    quick: { jobs: 400, rounds: 2 },
    aims: { p99Over: 2 },
  },
  {
    name: 'retry',
    title: 'retry through a 1 s rung, concurrency 100',
    kind: 'retry',
    sides: PAIR,
    width: 100,
    jobs: 6_000,
    rounds: 5,
    quick: { jobs: 2_000, rounds: 3 },
    aims: { throughput: 0.9, cpu: CPU },
  },
  {
    name: 'lateness',
    title: 'lateness of retries, 100 jobs/s',
    kind: 'lateness',
    sides: PAIR,
    width: 10,
    rate: 100,
    jobs: 500,
    rounds: 3,
    quick: { jobs: 200, rounds: 1 },
    aims: { p99: 50 },
  },
  {
    name: 'memory',
    title: 'memory while 100,000 jobs drain',
    kind: 'memory',
    sides: PAIR,
    width: 100,
    jobs: 100_000,
    rounds: 1,
    quick: { jobs: 20_000, rounds: 1 },
    aims: { growth: 8 },
  },
];

function enqueue(width: number, jobs: number, aims: Aims): Scenario {
  return {
    name: `enqueue-${width}`,
    title: `enqueue, ${width} outstanding`,
    kind: 'enqueue',
    sides: PAIR,
    width,
    jobs,
    rounds: 7,
    quick: { jobs: Math.ceil(jobs / 5), rounds: 3 },
    aims,
  };
}

function drain(width: number, jobs: number, aims: Aims): Scenario {
  return {
    name: `drain-${width}`,
    title: `drain, concurrency ${width}`,
    kind: 'drain',
    sides: TRIO,
    width,
    jobs,
    rounds: 5,
    quick: { jobs: Math.ceil(jobs / 4), rounds: 3 },
    aims,
  };
}
