/** Copies of the sources as JavaScript, a mutation planted in each, on which plain Node runs histories. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Options, transformSync } from '@swc/core';
import type { Catch } from './hunt.ts';
import { type Mutation, mutations } from './mutations.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = ['src', 'topology', 'test/simulation'];
const SWC: Options = { swcrc: false, jsc: { target: 'es2022', parser: { syntax: 'typescript' } } };

/**
 * Writes a mutant for each mutation below `home`, in a folder named after its place in the list. Returns why some could
 * not be planted, by name: such a folder holds the sources as they are.
 */
export function plantAll(home: string): Map<string, Error> {
  const problems = new Map<string, Error>();
  const sources = new Map(
    FOLDERS.flatMap(filesOf).map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]),
  );
  const compiled = new Map([...sources].map(([file, text]) => [file, toJavaScript(text)]));
  mutations.forEach((mutation, index) => {
    const { name, file } = mutation;
    const files = new Map(compiled);
    try {
      files.set(file, toJavaScript(plant(mutation, sources.get(file) ?? '')));
    } catch (error) {
      problems.set(name, error as Error);
    }
    write(join(home, String(index)), files);
  });
  return problems;
}

/** Lets plain Node try so many histories on each of these mutants, which were planted below `home`. */
export async function hunted(
  home: string,
  histories: number,
  mutants: readonly { index: number; seed: number }[],
): Promise<Catch[]> {
  const places = mutants.map(({ index, seed }) => `${seed}:${join(home, String(index))}`);
  const hunt = join(home, '0', 'test/simulation/hunt.js');
  const { stdout } = await promisify(execFile)(process.execPath, [hunt, String(histories), ...places]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Catch);
}

/** @throws Error where a text does not stand in the file exactly once: the mutation must follow the code. */
function plant({ name, file, edits }: Mutation, text: string): string {
  return edits.reduce((rest, [find, replace]) => {
    const parts = rest.split(find);
    if (parts.length === 2) return parts.join(replace);
    throw new Error(`'${name}' finds this ${parts.length - 1} times in ${file} instead of once: ${find}`);
  }, text);
}

function write(place: string, files: Map<string, string>): void {
  for (const [file, text] of files) {
    const path = join(place, file.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  cpSync(join(ROOT, 'package.json'), join(place, 'package.json'));
}

function toJavaScript(text: string): string {
  return transformSync(text, SWC).code.replace(/(from |import\()(["'])(\.[^"']+)\.ts\2/g, '$1$2$3.js$2');
}

function filesOf(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
}
