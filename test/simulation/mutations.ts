/** Faults to plant in warren, each of which the simulation must catch. */
import type { Rule } from './ledger.ts';

/** Text that stands in a file exactly once, and what is put in its place. */
export type Edit = readonly [find: string, replace: string];

export interface Mutation {
  name: string;
  file: string;
  edits: readonly Edit[];
  /** The rules by which it may be caught. */
  breaks: readonly Rule[];
  /** Of histories that soon catch it: `node --import tsx test/simulation/seeds.ts` finds one. */
  seed: number;
}

const SETTLE_ON_NEXT = `
  try {
    const channel = Session.latest.get(this.#options.onStale).#channel;
    if (how === 'ack') channel.ack(at(delivery.tag));
    else channel.nack(at(delivery.tag), false, how === 'release');
  } catch {}
`;

export const mutations: readonly Mutation[] = [
  {
    name: 'acks the original before its copy is confirmed',
    file: 'src/run/settle.ts',
    edits: [
      [
        'const problem = await this.#publish(copy, make);',
        'message.delivery.ack(); const problem = await this.#publish(copy, make);',
      ],
    ],
    breaks: ['lost'],
    seed: 1,
  },
  {
    name: 'settles a delivery of a lost channel on the next one',
    file: 'src/broker/session.ts',
    edits: [
      ['readonly #channel: Channel;', 'static latest = new Map(); readonly #channel: Channel;'],
      ['this.#options = options;', 'this.#options = options; Session.latest.set(options.onStale, this);'],
      ['if (!this.#live) {\n      this.#options.onStale();', `if (!this.#live) {${SETTLE_ON_NEXT}`],
    ],
    breaks: ['lost', 'strayed-settlement'],
    seed: 6,
  },
  {
    name: 'publishes without mandatory',
    file: 'src/broker/entry.ts',
    edits: [['mandatory: true,', 'mandatory: false,']],
    breaks: ['lost'],
    seed: 3,
  },
  {
    name: 'does not look at what came back unroutable',
    file: 'src/broker/publisher.ts',
    edits: [['if (entry.returned !== undefined) {', 'if (entry.publication.exchange === "") {']],
    breaks: ['lost'],
    seed: 3,
  },
  {
    name: 'counts an attempt where a drain takes the job back',
    file: 'src/core/outcome.ts',
    edits: [["return { kind: 'release' };", "return decideFailed(new Error('stopped'), attempt, policy);"]],
    breaks: ['attempt-without-failure'],
    seed: 16,
  },
  {
    name: 'forgets what it has finished',
    file: 'src/run/known-runs.ts',
    edits: [['if (!this.#recall.has(id, headers)) return false;', 'if (id !== "") return false;']],
    breaks: ['run-again-after-done-here'],
    seed: 5,
  },
  {
    name: 'runs what comes back beside its first run',
    file: 'src/run/known-runs.ts',
    edits: [['if (!run.delivery.live) run.delivery = delivery;', 'if (!run.delivery.live) continue;']],
    breaks: ['run-twice-at-once'],
    seed: 3,
  },
  {
    name: 'takes a lost channel for a confirm',
    file: 'src/broker/publisher.ts',
    edits: [
      [
        'this.#waiting.putBack(unknown.filter(({ done }) => !done));',
        'for (const entry of unknown) this.#confirmed(entry);',
      ],
    ],
    breaks: ['accepted-not-kept', 'lost'],
    seed: 3,
  },
  {
    name: 'takes every confirm for a multiple one',
    file: 'src/broker/publisher.ts',
    edits: [
      [
        'for (let each = multiple ? this.#lowestTag : tag; each <= tag; each++) {',
        'for (let each = this.#lowestTag; each <= tag; each++) {',
      ],
    ],
    breaks: ['accepted-not-kept', 'lost'],
    seed: 25,
  },
  {
    name: 'gives back what it should park',
    file: 'src/run/settle.ts',
    edits: [['return this.#park(message, outcome, info);', 'message.delivery.release(); return false;']],
    breaks: ['no-rest', 'too-many-attempts'],
    seed: 1,
  },
  {
    name: 'acks all below the last finished one, finished or not',
    file: 'src/broker/session.ts',
    edits: [['if (tag > lowest) this.#channel.ack(at(tag));', 'if (tag < lowest && tag > lowest) return;']],
    breaks: ['lost', 'strayed-settlement'],
    seed: 1,
  },
  {
    name: 'rounds a wait down to whole seconds',
    file: 'topology/levels.ts',
    edits: [['Math.ceil(ms / 1000)', 'Math.floor(ms / 1000)']],
    breaks: ['too-early'],
    seed: 3,
  },
  {
    name: 'keeps what it has not begun when it drains',
    file: 'src/runner.ts',
    edits: [['this.#intake.stop();', '']],
    breaks: ['kept-while-draining'],
    seed: 8,
  },
  {
    name: 'says that acks arrived which nobody answered for',
    file: 'src/broker/session.ts',
    edits: [['&& (this.#left || !this.#used)', '']],
    breaks: ['unsent-but-said-sent'],
    seed: 48,
  },
  {
    name: 'takes a failed attempt for a crash',
    file: 'src/run/settle.ts',
    edits: [["crashes: outcome.kind === 'retry' ? outcome.crashes : undefined", 'crashes: 1']],
    breaks: ['crash-mark-without-crash'],
    seed: 1,
  },
  {
    name: 'never subscribes again',
    file: 'src/broker/consumer.ts',
    edits: [['await this.#rest();', 'await new Promise(() => {});']],
    breaks: ['not-consuming', 'not-finished'],
    seed: 1,
  },
  {
    name: 'waits for jobs longer than the grace period',
    file: 'src/runner.ts',
    edits: [['this.#slots.idleBy(times.endAt);', 'this.#slots.idleBy(times.endAt + 3000);']],
    breaks: ['past-grace'],
    seed: 8,
  },
  {
    name: 'takes any run of a job for the one that it has finished',
    file: 'src/run/recall.ts',
    edits: [['if (sameRun(this.#runAt(place), run)) return true;', 'return true;']],
    breaks: ['lost'],
    seed: 11,
  },
  {
    name: 'lets a job take down one worker after the other',
    file: 'src/run/probation.ts',
    edits: [['return this.#it.seats !== undefined;', 'return false;']],
    breaks: ['poison-run-inline-again', 'no-rest'],
    seed: 2,
  },
  {
    name: 'forgets the crashes before this one',
    file: 'src/core/outcome.ts',
    edits: [['const crashes = before + 1;', 'const crashes = 1;']],
    breaks: ['no-rest', 'not-finished', 'lost'],
    seed: 2,
  },
  {
    name: 'keeps the seat of a suspect',
    file: 'src/run/probation.ts',
    edits: [['return () => seats?.giveBack();', 'return () => {};']],
    breaks: ['not-finished', 'left-behind', 'lost'],
    seed: 2,
  },
  {
    name: 'lets a tick go that no table counts on',
    file: 'src/schedule/reign.ts',
    edits: [['if (steps.changed || steps.arm.length > 0) await', 'if (steps.changed) await']],
    breaks: ['tick-twice', 'tick-left-out'],
    seed: 5,
  },
  {
    name: 'makes a tick again that the leader before it has let go',
    file: 'src/schedule/table.ts',
    edits: [
      ['if (entry.armed && !copies.has(entry.armed.copy)) letGo(entry, 0);', 'entry.armed = undefined;'],
    ],
    breaks: ['tick-twice'],
    seed: 34,
  },
];
