/** The bench's own hold on the broker: where it is, the topology both sides use, filling and emptying queues. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { namesFor } from '../topology/names.ts';
import { planTopology } from '../topology/plan.ts';
import { Bare } from './bare.ts';
import { payload, RUNG_MS } from './rig.ts';

// This file runs from .bench/bench.
const COMMAND = fileURLToPath(new URL('../../bin/broker', import.meta.url));

export interface Node {
  url: string;
  /** What the node holds, in bytes, after a look for garbage; only of a node of our own. */
  memory?(): number;
  remove(): void;
}

/** The broker at AMQP_URL, else a private node for this run alone. */
export function openNode(series: string): Node {
  const given = process.env.AMQP_URL;
  if (given) return { url: given, remove: () => {} };
  const name = `bench-${process.pid}`;
  const started = command('start', series, '--name', name);
  const url = /AMQP_URL=(\S+)/.exec(started)?.[1];
  if (url === undefined) throw new Error(`bin/broker start said ${started}`);
  const collect = '[erlang:garbage_collect(P) || P <- processes()], erlang:memory(total).';
  return {
    url,
    memory: () => Number(command('ctl', name, 'eval', collect)),
    remove: () => command('remove', name),
  };
}

function command(...args: string[]): string {
  const { status, stdout, error } = spawnSync(COMMAND, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (error || status !== 0) throw error ?? new Error(`bin/broker ${args[0]} failed`);
  return stdout;
}

const FILLING_WIDTH = 2000;
const READY_TIMEOUT_MS = 60_000;

/** One work queue for each side on the same exchanges, all with warren's own arguments. */
export class Ground {
  readonly version: string;
  readonly #connection: ChannelModel;
  readonly #channel: Channel;
  readonly #filler: Bare;
  readonly #names;
  readonly #plan;

  private constructor(
    url: string,
    namespace: string,
    queues: readonly string[],
    connection: ChannelModel,
    channel: Channel,
  ) {
    this.#names = namesFor(namespace);
    this.#plan = planTopology({
      names: this.#names,
      queues: queues.map((name) => ({ name })),
      delays: [RUNG_MS],
    });
    this.#filler = new Bare({ url, namespace, gathered: true });
    this.#connection = connection;
    this.#channel = channel;
    this.version = String(connection.connection.serverProperties.version);
  }

  static async open(url: string, namespace: string, queues: readonly string[]): Promise<Ground> {
    const connection = await connect(url);
    const ground = new Ground(url, namespace, queues, connection, await connection.createChannel());
    await ground.#declare();
    return ground;
  }

  async #declare(): Promise<void> {
    const { exchanges, queues, bindings } = this.#plan;
    for (const { name, type, arguments: args } of exchanges)
      await this.#channel.assertExchange(name, type, { durable: true, arguments: args });
    for (const { name, arguments: args } of queues)
      await this.#channel.assertQueue(name, { durable: true, arguments: args });
    for (const { queue, exchange, routingKey } of bindings)
      await this.#channel.bindQueue(queue, exchange, routingKey);
  }

  /** Resolves when `jobs` messages are ready in the queue and nothing else is. */
  async fill(queue: string, jobs: number): Promise<void> {
    const sender = await this.#filler.sender(queue);
    for (let sent = 0; sent < jobs; sent += FILLING_WIDTH)
      await sender.sendMany(
        Array.from({ length: Math.min(FILLING_WIDTH, jobs - sent) }, (_, n) => payload(sent + n)),
      );
    await sender.close();
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while ((await this.ready(queue)) !== jobs) {
      if (Date.now() > deadline) throw new Error(`${queue} never had ${jobs} messages ready`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async ready(queue: string): Promise<number> {
    return (await this.#channel.checkQueue(this.#names.queue(queue))).messageCount;
  }

  async empty(queue: string): Promise<void> {
    await this.#channel.purgeQueue(this.#names.queue(queue));
  }

  async remove(): Promise<void> {
    for (const { name } of this.#plan.queues) await this.#channel.deleteQueue(name);
    for (const { name } of this.#plan.exchanges) await this.#channel.deleteExchange(name);
    await this.#connection.close();
  }
}
