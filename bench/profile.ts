/** Where the CPU goes: V8's sampling profiler over one round, summed by function. */

import type { Profiler, Runtime } from 'node:inspector';
import { Session } from 'node:inspector/promises';

export interface ProfileLine {
  /** `src/run/attempt.js:run`, `amqplib/codec.js:encodeTable`, `(garbage collector)`. */
  name: string;
  selfMicros: number;
}

const SAMPLE_EVERY_MICROS = 200;

export async function profiled<T>(work: () => Promise<T>): Promise<[T, ProfileLine[]]> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_MICROS });
  await session.post('Profiler.start');
  const result = await work();
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  return [result, linesOf(profile)];
}

function linesOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): ProfileLine[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const micros = new Map<string, number>();
  samples.forEach((id, at) => {
    const name = names.get(id) ?? '?';
    micros.set(name, (micros.get(name) ?? 0) + (timeDeltas[at + 1] ?? 0));
  });
  return [...micros]
    .map(([name, selfMicros]) => ({ name, selfMicros }))
    .filter(({ name }) => name !== '(idle)')
    .sort((a, b) => b.selfMicros - a.selfMicros);
}

function nameOf({ functionName, url, lineNumber }: Runtime.CallFrame): string {
  if (url === '') return functionName || '(native)';
  return `${fileOf(url)}:${functionName || `(anonymous, line ${lineNumber + 1})`}`;
}

/** The file as one looks for it: below .bench for our own, below node_modules for a package's. */
function fileOf(url: string): string {
  return url.replace(/^.*\/node_modules\//, '').replace(/^.*\/\.bench\//, '');
}

/** The part of the house a line belongs to: a folder of ours, a package, or Node. */
export function areaOf(name: string): string {
  if (name.startsWith('(')) return name;
  if (!name.includes(':')) return '(native)';
  if (name.startsWith('node:')) return 'node';
  const [first = '', second = ''] = name.split('/');
  return first === 'src' && !second.includes('.') ? `src/${second}` : first;
}
