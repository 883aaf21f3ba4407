/** The numbers of all workers as one: sums, and what each gauge says of its kind (`aggregator` of prom-client). */
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';
import type { EventBus } from '../core/events.ts';
import type { MetricsSource } from '../http/server.ts';
import { askAll } from './health.ts';
import type { MetricData } from './messages.ts';
import type { Supervisor, WorkerSlot } from './supervisor.ts';
import type { WorkerProcess } from './worker-process.ts';

type Numbers = readonly MetricData[];

export class SupervisedMetrics implements MetricsSource {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #supervisor: Supervisor;
  readonly #own = new Registry();
  /** The workers' own is theirs to say; of one that says nothing it is not known to be connected. */
  readonly #allAnswer: Gauge;
  /** What each process said last. */
  readonly #last = new Map<WorkerProcess, Numbers>();
  /**
   * What processes counted that are gone. Without it a sum would fall at each death, and Prometheus, which takes a
   * falling counter for one that began again at 0, would count all that the others ever did a second time.
   */
  #gone: Numbers = [];
  #burying: Promise<void> = Promise.resolve();

  constructor(supervisor: Supervisor, bus: EventBus) {
    this.#supervisor = supervisor;
    const restarts = new Counter({
      name: 'warren_process_restarts_total',
      help: 'Worker processes that ended unasked, and were or will be started again',
      registers: [this.#own],
    });
    bus.on('process.died', () => restarts.inc());
    this.#allAnswer = new Gauge({
      name: 'warren_broker_connected',
      help: '1 while every connection to the broker is open',
      aggregator: 'min',
      registers: [this.#own],
    });
  }

  async text(): Promise<string> {
    const { workers } = this.#supervisor;
    const processes = workers.map(({ process }: WorkerSlot) => process);
    const answers = await askAll(this.#supervisor, 'metrics');
    for (const [index, process] of processes.entries()) {
      const answer = answers[index];
      if (process && answer) this.#last.set(process, answer);
    }
    // One after the other: two scrapes at once must not bury the same process twice.
    this.#burying = this.#burying.then(() => this.#bury());
    await this.#burying;
    this.#allAnswer.set(answers.every((answer) => answer !== undefined) ? 1 : 0);
    const own = (await this.#own.getMetricsAsJSON()) as unknown as Numbers;
    return together([this.#gone, ...this.#said(processes, answers), own]).metrics();
  }

  /** Who does not answer now has counted all the same; his gauges are unknown. */
  #said(
    processes: readonly (WorkerProcess | undefined)[],
    answers: readonly (Numbers | undefined)[],
  ): Numbers[] {
    const fresh = new Map(processes.map((process, index) => [process, answers[index]]));
    return [...this.#last].map(([process, last]) => fresh.get(process) ?? counts(last));
  }

  async #bury(): Promise<void> {
    const alive = new Set(this.#supervisor.workers.map(({ process }) => process));
    for (const [process, last] of this.#last) {
      if (alive.has(process)) continue;
      const all = await together([this.#gone, counts(last)]).getMetricsAsJSON();
      this.#gone = all as unknown as Numbers;
      this.#last.delete(process);
    }
  }
}

function together(all: readonly Numbers[]): Registry {
  return AggregatorRegistry.aggregate(all as unknown as object[]);
}

/** Only what grows. */
function counts(numbers: Numbers): Numbers {
  return numbers.filter(({ type }) => ['counter', 'histogram', 'summary'].includes(String(type)));
}
