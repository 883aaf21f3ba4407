/** What a history is made of: jobs, workers, faults, and a seed for everything that is left to chance. */
import fc from 'fast-check';

/** What `perform` does in one run, after so many ms (0: without a promise). */
export interface Step {
  does: 'return' | 'throw' | 'dead' | 'snooze' | 'hang' | 'enqueue' | 'kill';
  ms: number;
  /** Throws when its signal aborts, as a well-behaved job. */
  obeys: boolean;
}

export interface JobPlan {
  /** When it is enqueued, ms after the one before it. */
  after: number;
  /** Given to `enqueue`, in ms: how long to try, and how long the job shall wait (0: not at all). */
  deadline: number;
  in: number;
  /** A program without warren sends bytes that are no job. */
  foreign: boolean;
  /** What is done in attempt 1, 2, 3; the last one repeats. */
  steps: readonly Step[];
  /** Whatever the steps say, it takes down the process that runs it, each time. */
  poison: boolean;
  /** It runs in a child. */
  isolated: boolean;
}

export interface WorkerPlan {
  concurrency: number;
  prefetch: number | 'auto';
}

export const FAULTS = [
  'cut',
  'goodbye',
  'channel',
  'cancel',
  'crash',
  'drain',
  'broker',
  'refuse',
  'missing',
  'alarm',
  'stall',
  'double',
  'holdBack',
] as const;

export interface Fault {
  /** How many events after the fault before it: between any two steps of anything. */
  after: number;
  what: (typeof FAULTS)[number];
  /** Which process it meets; 0 is the one that enqueues. */
  process: number;
  role: 'publishing' | 'consuming';
  /** What part of the frames under way arrives. */
  toServer: number;
  toClient: number;
  /** How long it lasts, or until it is noticed. */
  ms: number;
  count: number;
}

export interface History {
  seed: number;
  workers: readonly WorkerPlan[];
  jobs: readonly JobPlan[];
  faults: readonly Fault[];
  /** A schedule ticks for a minute. */
  cron: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    { weight: 6, arbitrary: fc.constant('return' as const) },
    { weight: 4, arbitrary: fc.constant('throw' as const) },
    { weight: 3, arbitrary: fc.constantFrom('dead', 'snooze', 'enqueue', 'hang') },
  ),
  ms: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 60 }) },
    { weight: 2, arbitrary: fc.integer({ min: 100, max: 4000 }) },
  ),
  obeys: fc.boolean(),
});

const job: fc.Arbitrary<JobPlan> = fc.record({
  after: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 5 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 2000 }) },
  ),
  deadline: fc.constantFrom(30_000, 5000, 1000, 100, 30),
  in: fc.oneof({ weight: 7, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 9000 })),
  foreign: fc.boolean(),
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  poison: fc.constant(false),
  isolated: fc.constant(false),
});

/** Foreign ones are the exception. */
const someJob = fc.oneof(
  { weight: 9, arbitrary: job.map((plan) => ({ ...plan, foreign: false })) },
  { weight: 1, arbitrary: job },
);

const worker: fc.Arbitrary<WorkerPlan> = fc.record({
  concurrency: fc.integer({ min: 1, max: 3 }),
  prefetch: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constant('auto' as const)),
});

const part = fc.constantFrom(1, 0.5, 0);

const fault: fc.Arbitrary<Fault> = fc.record({
  after: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 4 }) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 30 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 200 }) },
  ),
  what: fc.oneof(fc.constantFrom(...FAULTS), fc.constantFrom('cut', 'crash', 'drain')),
  process: fc.integer({ min: 0, max: 2 }),
  role: fc.constantFrom('consuming', 'publishing'),
  toServer: part,
  toClient: part,
  ms: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 5000 }), fc.constant(15_000)),
  count: fc.integer({ min: 1, max: 4 }),
});

/** Of jobs, by their number. Most histories have none. */
const some = fc.oneof(
  { weight: 2, arbitrary: fc.constant([] as number[]) },
  {
    weight: 1,
    arbitrary: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 2 }),
  },
);

export const history: fc.Arbitrary<History> = fc
  .record({
    seed: fc.integer(),
    workers: fc.array(worker, { minLength: 1, maxLength: 2 }),
    jobs: fc.array(someJob, { minLength: 1, maxLength: 7 }),
    faults: fc.array(fault, { maxLength: 8 }),
    poison: some,
    isolated: some,
    cron: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
  .map(({ jobs, poison, isolated, ...rest }) => ({
    ...rest,
    jobs: jobs.map((plan, at) => ({ ...plan, poison: poison.includes(at), isolated: isolated.includes(at) })),
  }));
