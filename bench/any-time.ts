/**
 * Jobs for later: what they cost to enqueue, what the broker holds, and how late they come. `npm run bench -- any-time`.
 * Kinds take turns round by round; the figures to trust are the ratios. The hour is lived through in miniature, on
 * levels whose TTLs are a hundredth of the real ones.
 */
import { type Channel, connect } from 'amqplib';
import { createRabbitBroker } from '../src/broker/rabbitmq.ts';
import { createClient } from '../src/index.ts';
import { applyTopology } from '../topology/declarer.ts';
import { levelRoute } from '../topology/levels.ts';
import { type Names, namesFor } from '../topology/names.ts';
import { planTopology, type Topology } from '../topology/plan.ts';
import type { Node } from './broker.ts';
import { JOB, payload } from './rig.ts';
import { median, percentile } from './stats.ts';

const HOUR_S = 3600;
const WIDTH = 1000;
/** One second of the miniature, in ms. */
const SECOND_MS = 10;
const QUEUE = 'later';

interface Sizes {
  jobs: number;
  rounds: number;
  /** Jobs of the miniature, and how many of them are enqueued a second. */
  miniature: number;
  rate: number;
}

export const SIZES = {
  full: { jobs: 100_000, rounds: 4, miniature: 3_000, rate: 100 },
  quick: { jobs: 20_000, rounds: 2, miniature: 800, rate: 100 },
};

export async function anyTime(node: Node, sizes: Sizes): Promise<string> {
  const rates = await measureRates(node, sizes);
  return [...rates, ...(await measureLateness(node, sizes))].join('\n');
}

/** Any whole second of the next hour, spread evenly and the same in each run. */
function secondsOf(n: number): number {
  return 1 + ((n * 2_654_435_761) % HOUR_S);
}

const bitsOf = (seconds: number) => seconds.toString(2).replaceAll('0', '').length;

// --- enqueueing ---

type Kind = 'warren now' | 'warren later' | 'bare now' | 'bare later';

async function measureRates(node: Node, { jobs, rounds }: Sizes): Promise<string[]> {
  const namespace = `bench-now-${process.pid}`;
  const names = namesFor(namespace);
  const ground = await declare(node.url, names, 1000);
  const client = await createClient({ url: node.url, namespace });
  const bare = await connect(node.url);
  const channel = await bare.createConfirmChannel();
  const publish = (exchange: string, key: string, n: number, headers: object) =>
    new Promise<void>((resolve, reject) => {
      const options = { mandatory: true, persistent: true, messageId: `${n}`, type: JOB, headers };
      const body = Buffer.from(JSON.stringify(payload(n)));
      channel.publish(exchange, key, body, options, (error) => (error ? reject(error) : resolve()));
    });
  const key = names.queue(QUEUE);
  const kinds: Record<Kind, (n: number) => Promise<unknown>> = {
    'warren now': (n) => client.enqueue(JOB, payload(n), { queue: QUEUE }),
    'warren later': (n) =>
      client.enqueue(JOB, payload(n), { queue: QUEUE, in: (HOUR_S + secondsOf(n)) * 1000 }),
    'bare now': (n) => publish(names.jobs, key, n, {}),
    'bare later': (n) => publish(names.later, key, n, { CC: levelRoute(HOUR_S + secondsOf(n)).keys }),
  };
  const rates: Record<Kind, number[]> = {
    'warren now': [],
    'warren later': [],
    'bare now': [],
    'bare later': [],
  };
  const each = Math.ceil(jobs / rounds);
  const order = Object.keys(kinds) as Kind[];
  for (const kind of order) await rateOf(Math.ceil(each / 5), kinds[kind]);
  await ground.purgeAll();
  const empty = node.memory?.();
  for (let round = 0; round < rounds; round++)
    for (const kind of round % 2 === 0 ? order : order.toReversed()) {
      rates[kind].push(await rateOf(each, kinds[kind]));
      // What came at once would only be in the way; what waits is to stay, both sides' alike.
      await ground.purgeReady();
    }
  const waiting = await ground.waiting();
  const full = node.memory?.();
  await channel.close();
  await bare.close();
  await client.close();
  await ground.remove();
  const ratio = (one: Kind, other: Kind) =>
    median(rates[one].map((rate, at) => rate / (rates[other][at] ?? Number.NaN))).toFixed(2);
  return [
    ...order.map(
      (kind) =>
        `enqueue, ${WIDTH} outstanding  ${kind.padEnd(13)} ${median(rates[kind]).toFixed(0).padStart(7)} jobs/s`,
    ),
    `  later ÷ now, warren ${ratio('warren later', 'warren now')} × (aim ≥ 0.8) · bare ${ratio('bare later', 'bare now')} ×; later, warren ÷ bare ${ratio('warren later', 'bare later')} ×`,
    `  ${waiting} jobs wait${empty === undefined || full === undefined ? '' : `; the broker holds ${((full - empty) / 1e6).toFixed(0)} MB more than empty, ${((full - empty) / waiting).toFixed(0)} bytes a job`}`,
  ];
}

async function rateOf(jobs: number, send: (n: number) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < jobs) await send(next++);
  };
  await Promise.all(Array.from({ length: WIDTH }, lane));
  return (jobs * 1000) / (performance.now() - began);
}

// --- lateness ---

async function measureLateness(node: Node, { miniature, rate }: Sizes): Promise<string[]> {
  const names = namesFor(`bench-late-${process.pid}`);
  const ground = await declare(node.url, names, SECOND_MS);
  const late = new Map<number, number[]>();
  const sent = new Map<string, { at: number; seconds: number }>();
  const [all, hour] = [[] as number[], [] as number[]];
  const connection = await connect(node.url);
  const consuming = await connection.createChannel();
  const channel = await connection.createConfirmChannel();
  let done: () => void = () => {};
  const over = new Promise<void>((resolve) => {
    done = resolve;
  });
  await consuming.prefetch(500);
  await consuming.consume(names.queue(QUEUE), (message) => {
    if (!message) return;
    const { at, seconds } = sent.get(message.properties.messageId) ?? { at: Number.NaN, seconds: 0 };
    const ms = performance.now() - at - seconds * SECOND_MS;
    late.set(bitsOf(seconds), [...(late.get(bitsOf(seconds)) ?? []), ms]);
    if (seconds === HOUR_S) hour.push(ms);
    if (all.push(ms) === miniature) done();
    consuming.ack(message);
  });
  for (let n = 0; n < miniature; n++) {
    const seconds = n % 10 === 0 ? HOUR_S : secondsOf(n);
    sent.set(`${n}`, { at: performance.now(), seconds });
    const options = {
      mandatory: true,
      persistent: true,
      messageId: `${n}`,
      headers: { CC: levelRoute(seconds).keys },
    };
    channel.publish(names.later, names.queue(QUEUE), Buffer.from('{}'), options);
    if (n % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 10_000 / rate));
  }
  await over;
  await connection.close();
  await ground.remove();
  const seconds = [...sent.values()].map(({ seconds }) => seconds);
  const mean = (numbers: number[]) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  const hops = mean(seconds.map(bitsOf));
  const row = (title: string, ms: number[]) =>
    `  ${title.padEnd(22)} ${String(ms.length).padStart(5)} jobs  p50 ${median(ms).toFixed(1).padStart(6)}  p99 ${percentile(ms, 99).toFixed(1).padStart(6)}  max ${Math.max(
      ...ms,
    )
      .toFixed(1)
      .padStart(6)} ms`;
  return [
    `lateness, the hour in miniature (1 s = ${SECOND_MS} ms), ${rate} jobs/s`,
    row('all', all),
    ...[...late]
      .sort(([one], [other]) => one - other)
      .map(([bits, ms]) => row(`${bits} set bit${bits > 1 ? 's' : ''}`, ms)),
    row('in 1 h (aim p99 < 250)', hour),
    `  hops a job: ${hops.toFixed(1)}; one hop for each second would be ${mean(seconds).toFixed(0)}. Broker work here: ${(hops * rate).toFixed(0)} hops/s`,
  ];
}

// --- the ground ---

/** The levels with another length of a second. */
function scaled(topology: Topology, secondMs: number): Topology {
  const queues = topology.queues.map((queue) => {
    const ttl = queue.arguments['x-message-ttl'];
    if (typeof ttl !== 'number') return queue;
    return { ...queue, arguments: { ...queue.arguments, 'x-message-ttl': (ttl / 1000) * secondMs } };
  });
  return { ...topology, queues };
}

async function declare(url: string, names: Names, secondMs: number) {
  const plan = scaled(planTopology({ names, queues: [{ name: QUEUE }], delays: [], levels: true }), secondMs);
  const broker = createRabbitBroker({ urls: [url] });
  await broker.connect({ timeout: 10_000, roles: ['consuming'] });
  await applyTopology(broker, plan);
  const connection = await connect(url);
  const channel: Channel = await connection.createChannel();
  const levels = plan.queues.map(({ name }) => name).filter((name) => name.includes('schedule-'));
  return {
    purgeReady: () => channel.purgeQueue(names.queue(QUEUE)),
    purgeAll: async () => {
      for (const queue of [names.queue(QUEUE), ...levels]) await channel.purgeQueue(queue);
    },
    waiting: async () => {
      let count = 0;
      for (const level of levels) count += (await channel.checkQueue(level)).messageCount;
      return count;
    },
    remove: async () => {
      for (const { name } of plan.queues) await channel.deleteQueue(name);
      for (const { name } of plan.exchanges.toReversed()) await channel.deleteExchange(name);
      await connection.close();
      await broker.close(1000);
    },
  };
}
