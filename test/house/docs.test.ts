/** What README, CONTRIBUTING and docs/ name is there: files, links, npm scripts, log lines. And their TypeScript compiles. */
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, it } from '@jest/globals';
import { root, spawnNode } from '../support/process.ts';
import { userProject } from '../support/project.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const filesOf = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`);
const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, what = '']) => what);

const pages = new Map(
  ['README.md', 'CONTRIBUTING.md', ...filesOf('docs')]
    .filter((path) => path.endsWith('.md'))
    .map((path) => [path, read(path)]),
);

/** One line for each thing named that is not there. */
function missing(
  named: (text: string, path: string) => string[],
  isThere: (what: string) => boolean,
): string[] {
  return [...pages].flatMap(([path, text]) =>
    named(text, path)
      .filter((what) => !isThere(what))
      .map((what) => `${path}: ${what}`),
  );
}

it('the files that pages name exist', () => {
  const inText = /(?<![\w./-])((?:src|topology|test|bench|bin|deploy|examples)\/[\w./-]*\w)/g;
  const tried = (path: string) => [path, `${path}.ts`, `${path}.test.ts`];
  expect(
    missing(
      (text) => found(text.replace(/\]\([^)]*\)/g, ''), inText),
      (what) => tried(what).some((path) => existsSync(join(root, path))),
    ),
  ).toEqual([]);
});

it('the tour of the house calls files by names that they have, and leaves no folder of src/ out', () => {
  const tour = pages.get('docs/architecture.md') ?? '';
  const names = ['src', 'topology'].flatMap(filesOf).map((path) => basename(path));
  expect(found(tour, /`([\w-]+\.ts)`/g).filter((name) => !names.includes(name))).toEqual([]);
  const inside = readdirSync(join(root, 'src'), { withFileTypes: true });
  const folders = inside.filter((entry) => entry.isDirectory()).map(({ name }) => `src/${name}`);
  expect(folders.filter((folder) => !tour.includes(folder))).toEqual([]);
});

it('links lead to a file, and to a heading that it has', () => {
  const targets = (text: string, path: string) =>
    found(text, /\]\((?!https?:)([^)\s]+)\)/g).map((link) => {
      const [file = '', anchor] = link.split('#');
      return `${file === '' ? path : join(dirname(path), file)}${anchor === undefined ? '' : `#${anchor}`}`;
    });
  const isThere = (target: string) => {
    const [file = '', anchor] = target.split('#');
    return existsSync(join(root, file)) && (anchor === undefined || anchorsOf(file).includes(anchor));
  };
  expect(missing(targets, isThere)).toEqual([]);
});

/** As GitHub makes them of headings, and those that are written out. */
function anchorsOf(file: string): string[] {
  const text = read(file);
  const headings = found(text, /^#+ (.*)$/gm).map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return [...headings, ...found(text, /<a id="([^"]+)">/g)];
}

it('npm scripts that pages name exist, and CONTRIBUTING tells of each', () => {
  const scripts = Object.keys(JSON.parse(read('package.json')).scripts);
  const named = (text: string) => found(text, /npm run (?:-s |--silent )?([\w:-]+)/g);
  expect(missing(named, (script) => scripts.includes(script))).toEqual([]);
  const told = [...named(pages.get('CONTRIBUTING.md') ?? ''), 'test', 'prepare', 'prepack'];
  expect(scripts.filter((script) => !told.includes(script))).toEqual([]);
});

it('log lines that pages quote are written by the code', () => {
  const [, table = ''] = (pages.get('docs/observability.md') ?? '').split('| level | lines |');
  const lines = found(table.split('\n\n')[0] ?? '', /`([^`]+)`/g).filter((line) => line.includes(' '));
  const code = read('src/observe/logs.ts');
  expect(lines.length).toBeGreaterThan(20);
  expect(lines.filter((line) => !code.includes(`'${line}`))).toEqual([]);
});

/** What the code of the pages takes for granted. */
const AROUND = `
type Receipt = { orderId: string; email: string };
type Signal = { signal: AbortSignal };
declare const SendReceipt: typeof import('./workers/send-receipt.ts').SendReceipt;
declare const ImportFile: import('warren').JobClass<{ file: string }>;
declare const bank: { charge(id: string, options: Signal): Promise<void> };
declare const tracer: { startSpan(name: string): { end(): void } };
declare const Sentry: { captureException(error: unknown, about: object): void };
declare const client: import('warren').Client, runtime: import('warren').Runtime;
declare const enqueue: import('warren').Enqueue, snooze: typeof import('warren').snooze;
declare const payload: Receipt, payloads: Receipt[];
declare function shrink(image: string, width: number, options: Signal): Promise<void>;
declare function mailReport(days: number): Promise<void>;
declare function charge(id: string, cents: number, options: { idempotencyKey: string } & Signal): Promise<void>;
declare const test: typeof import('@jest/globals').test, expect: typeof import('@jest/globals').expect;
`;

const SERVICES = `
export declare const orders: { exists(id: string): Promise<boolean> };
export declare const mailer: {
  throttled: boolean;
  send(email: string, id: string, options: { signal: AbortSignal }): Promise<void>;
};
`;

/** A file a page, and of the README three. What imports and exports nothing stands in a function. */
function codeOf(path: string, text: string): Record<string, string> {
  const blocks = found(text, /^```ts\n([\s\S]*?)^```/gm);
  if (path === 'README.md') {
    const [job = '', program = '', ...more] = blocks;
    const others = more.map((code) => `export {};\n${code}`).join('\n');
    return { 'workers/send-receipt.ts': job, 'enqueue.ts': program, 'more.ts': others };
  }
  const whole = blocks.map((code, at) =>
    /^(import|export) /m.test(code) ? code : `export async function block${at}() {\n${code}}\n`,
  );
  return whole.length === 0 ? {} : { [path.replace(/md$/, 'ts')]: whole.join('\n') };
}

it('the TypeScript of the pages compiles in a strict project', async () => {
  const files = Object.assign({}, ...[...pages].map(([path, text]) => codeOf(path, text)));
  const compilerOptions = {
    ...{ strict: true, noEmit: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ module: 'nodenext', target: 'es2023', allowImportingTsExtensions: true, types: ['node'] },
    ...{ typeRoots: [join(root, 'node_modules/@types')] },
  };
  await using project = await userProject({
    ...files,
    'around.d.ts': AROUND,
    'services.ts': SERVICES,
    'tsconfig.json': JSON.stringify({ compilerOptions }),
  });
  for (const name of ['@jest', '@redis', 'zod'])
    symlinkSync(join(root, 'node_modules', name), join(project.folder, 'node_modules', name));
  await using tsc = spawnNode([join(root, 'node_modules/typescript/bin/tsc')], { cwd: project.folder });
  const ending = await tsc.ended({ within: 80_000 });
  expect(tsc.stdout).toBe('');
  expect(ending.code).toBe(0);
});
