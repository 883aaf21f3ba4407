/** The broker that the tests run against, and private ones that a test may kill. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from './until.ts';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../../bin/broker', import.meta.url));

export type Series = '3.10' | '4.3' | 'system';

/** The series under test: what `npm test` was asked for. */
export const series = (process.env.WARREN_TEST_RABBITMQ ?? 'system') as Series;

/** The broker all tests share: keep to a namespace, never stop it. */
export function amqpUrl(): string {
  const url = process.env.AMQP_URL;
  if (!url)
    throw new Error(
      'AMQP_URL is not set: run the tests through `npm test`, or start a broker (bin/broker start)',
    );
  return url;
}

/** The shared broker's management API, credentials included. */
export function managementUrl(): string {
  if (process.env.MANAGEMENT_URL) return process.env.MANAGEMENT_URL;
  const { username, password, hostname } = new URL(amqpUrl());
  return `http://${username || 'guest'}:${password || 'guest'}@${hostname}:15672`;
}

export interface PrivateBroker {
  readonly name: string;
  readonly series: Series;
  /** Stays the same across kill and start. */
  readonly url: string;
  readonly managementUrl: string;
  /** `rabbitmqctl` of this node; resolves with what it printed. Takes a second of the processor: see `eval`. */
  ctl(...args: string[]): Promise<string>;
  /** An Erlang expression inside this node, with its full stop; resolves with its value as Erlang writes it. */
  eval(expression: string): Promise<string>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** A clean stop; takes some seconds. */
  stop(): Promise<void>;
  /** Brings it back with its data. */
  start(): Promise<void>;
  /** SIGSTOP: connections are accepted and nothing is answered. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  remove(): Promise<void>;
}

/** Why a suite that needs a broker of its own is skipped. */
export const NO_BROKERS =
  'brokers can be started where rabbitmq-server is installed; the one at AMQP_URL is not ours to kill';

/** Whether this machine can start brokers of its own; where AMQP_URL is all there is, such tests cannot run. */
export async function canStartBrokers(): Promise<boolean> {
  return run(program, ['has', series]).then(
    () => true,
    () => false,
  );
}

/**
 * A node that is SIGKILLed less than a second after a quorum queue was declared has not yet written down that the queue
 * has a log: it comes back without the messages it confirmed, or without a leader (seen on 3.10.8 and 4.3.6). No test of
 * ours is about that, so one that kills its broker calls this between declaring and publishing, with the nodes it kills:
 * they write it down at once. Without any, it waits for as long as a node takes that has nothing else to do.
 */
export async function untilNewQueuesSurvive(...nodes: Pick<PrivateBroker, 'eval'>[]): Promise<void> {
  const write = '[(catch dets:sync(Table)) || Table <- dets:all()].';
  if (nodes.length === 0) await pause(2_500);
  await Promise.all(nodes.map((node) => node.eval(write)));
}

export interface NodeOptions {
  /** Text for its rabbitmq.conf. */
  conf?: string;
  /** The name of a node whose cluster it becomes part of. */
  join?: string;
}

/** RabbitMQ takes messages, or does not because it is out of memory. In force when it resolves. */
export async function setMemoryAlarm(node: Pick<PrivateBroker, 'eval'>, on: boolean): Promise<void> {
  await node.eval(`vm_memory_monitor:set_vm_memory_high_watermark(${on ? '0.0' : '0.6'}).`);
  const alarmed = async () => (await node.eval('rabbit_alarm:get_alarms().')).includes('memory');
  await until(async () => (await alarmed()) === on, { what: on ? 'the alarm' : 'the end of the alarm' });
}

/** A node for one test file alone (about 5 s). */
export async function startPrivateBroker(
  wanted: Series = series,
  options: NodeOptions = {},
): Promise<PrivateBroker> {
  const name = `private-${process.pid}-${randomBytes(3).toString('hex')}`;
  const urls = await startNode(name, wanted, options);
  const word = (verb: string) => async () => void (await run(program, [verb, name]));
  return {
    name,
    series: wanted,
    ...urls,
    ctl: async (...args) => (await run(program, ['ctl', name, ...args], { maxBuffer: 64 << 20 })).stdout,
    eval: async (expression) => (await run(program, ['eval', name, expression])).stdout.trim(),
    kill: word('kill'),
    stop: word('stop'),
    start: async () => void (await run(program, ['start', '--name', name])),
    pause: word('pause'),
    resume: word('resume'),
    remove: word('remove'),
  };
}

async function startNode(name: string, wanted: Series, { conf, join: other }: NodeOptions) {
  const file = join(tmpdir(), `${name}.conf`);
  if (conf !== undefined) await writeFile(file, `${conf}\n`);
  try {
    const extra = conf === undefined ? [] : ['--conf', file];
    if (other !== undefined) extra.push('--join', other);
    const { stdout } = await run(program, ['start', wanted, '--name', name, ...extra]);
    return readUrls(stdout);
  } finally {
    await rm(file, { force: true });
  }
}

function readUrls(line: string): { url: string; managementUrl: string } {
  const [, url, management] = /AMQP_URL=(\S+) MANAGEMENT_URL=(\S+)/.exec(line) ?? [];
  if (!url || !management) throw new Error(`bin/broker printed no addresses: ${line}`);
  return { url, managementUrl: management };
}
