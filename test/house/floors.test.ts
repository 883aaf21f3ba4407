import { describe, expect, it } from '@jest/globals';
import * as house from './floors.ts';
import { readSource, readSources, type SourceFile } from './source.ts';

const files = readSources(['src', 'topology', 'workers', 'examples']);

const isIn = (path: string, places: readonly string[]) =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));

function floorOf(path: string): number | undefined {
  const places = Object.entries(house.floors).flatMap(([floor, paths]) =>
    paths.map((place) => ({ floor: Number(floor), place })),
  );
  return places.filter(({ place }) => isIn(path, [place])).sort((a, b) => b.place.length - a.place.length)[0]
    ?.floor;
}

/** One line for each import that `wrong` objects to: the failure is the list of them. */
function offences(wrong: (file: SourceFile, target: string) => boolean): string[] {
  return files.flatMap((file) =>
    file.imports.filter((target) => wrong(file, target)).map((target) => `${file.path} imports ${target}`),
  );
}

const isOurs = (target: string) => /^(src|topology|workers|examples)\//.test(target);

describe('the house', () => {
  it('gives every file a floor', () => {
    expect(files.length).toBeGreaterThan(0);
    expect(files.map(({ path }) => path).filter((path) => floorOf(path) === undefined)).toEqual([]);
  });

  it('imports downwards or on the level', () => {
    expect(
      offences(({ path }, target) => isOurs(target) && (floorOf(target) ?? 0) > (floorOf(path) ?? 0)),
    ).toEqual([]);
  });

  it('keeps third-party packages in their homes', () => {
    const packageOf = (target: string) =>
      Object.keys(house.homes).find((name) => `${target}/`.startsWith(`${name}/`));
    expect(
      offences(({ path }, target) => {
        const home = house.homes[packageOf(target) ?? ''];
        return home !== undefined && !isIn(path, home);
      }),
    ).toEqual([]);
  });

  it('enters a folder with doors by its doors', () => {
    expect(
      offences(({ path }, target) =>
        Object.entries(house.doors).some(
          ([folder, doors]) => isIn(target, [folder]) && !isIn(path, [folder]) && !isIn(target, doors),
        ),
      ),
    ).toEqual([]);
  });

  it('lets the flows know the broker contract only', () => {
    const { from, to } = house.contractOnly;
    expect(
      offences(({ path }, target) => isIn(path, from) && isIn(target, ['src/broker/']) && !isIn(target, to)),
    ).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const readers = files.filter(
      ({ globals, imports }) =>
        [...globals].some((name) => name.startsWith('process.env')) ||
        imports.some((target) => /^(node:)?process$/.test(target)),
    );
    expect(readers.map(({ path }) => path).filter((path) => !isIn(path, house.environmentReaders))).toEqual(
      [],
    );
  });

  it('keeps the ground floor pure', () => {
    const { files: pure, except, packages, banned } = house.pure;
    const isPure = ({ path }: SourceFile) => isIn(path, pure) && !isIn(path, except);
    expect(offences((file, target) => isPure(file) && !isOurs(target) && !isIn(target, packages))).toEqual(
      [],
    );
    const impure = files
      .filter(isPure)
      .flatMap(({ path, globals }) =>
        [...globals].filter((name) => banned.test(name)).map((name) => `${path}: ${name}`),
      );
    expect(impure).toEqual([]);
  });

  it('shows user code the public API only', () => {
    const reachesIn = (target: string) =>
      /^(src|topology|dist)\//.test(target) || /^(\.\.|\/|file:)/.test(target);
    const isPrivate = (target: string) => /^warren(\/|$)/.test(target) && !isIn(target, house.publicApi);
    expect(
      offences(
        ({ path }, target) =>
          isIn(path, ['workers/', 'examples/']) && (reachesIn(target) || isPrivate(target)),
      ),
    ).toEqual([]);
  });
});

describe('reading a source file', () => {
  it('sees every way to import', () => {
    const text = `
      import a, { b } from './a.ts'; import type { T } from '../core/t.ts'; import 'side';
      export * from './b.ts'; export { c } from './c.ts'; export type { D } from './d.ts';
      const e = await import('./e.ts'); type F = import('./f.ts').F; export const g = require;`;
    expect(readSource('src/http/x.ts', text).imports).toEqual([
      'src/http/a.ts',
      'src/core/t.ts',
      'side',
      'src/http/b.ts',
      'src/http/c.ts',
      'src/http/d.ts',
      'src/http/e.ts',
      'src/http/f.ts',
    ]);
  });

  it('sees the globals it is asked about', () => {
    const text = `process.env.X; globalThis.process.env; Date.now(); new Date(); new Date(0); const o = { env: process.argv[1] };`;
    expect([...readSource('a.ts', text).globals].sort()).toEqual(
      ['Date.now', 'globalThis.process', 'new Date', 'process.argv', 'process.env', 'process.env.X'].sort(),
    );
  });
});
