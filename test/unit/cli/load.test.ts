/** Job classes in a folder, found by the command as users run it: jest would import the files in its own way. */
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { userProject } from '../../support/project.ts';
import { warren } from '../../support/warren.ts';

const job = (name: string, more = '') =>
  `import { Job } from 'warren'\nexport class ${name} extends Job { ${more}\n perform() {} }\n`;

async function jobsOf(files: Record<string, string>, args: string[] = []) {
  await using project = await userProject(files);
  return await warren(['jobs', '--json', ...args], {}, project.folder);
}

const named = (names: string[]) => names.map((name) => expect.objectContaining({ name }));

describe('a workers folder', () => {
  it('gives every exported job class of its code files, always in the same order', async () => {
    const { code, json } = await jobsOf({
      'workers/b.ts': job('B', 'private readonly x: number = 1'),
      'workers/a.js': job('A'),
      'workers/deep/er/c.mjs': job('C'),
      'workers/deep/d.mts': `import { type JobContext, Job } from 'warren'\nexport default class D extends Job<{ a: 1 }> { async perform(_: { a: 1 }, __: JobContext) {} }`,
      'workers/two.ts': job('E') + job('F').split('\n').slice(1).join('\n'),
    });
    expect(code).toBe(0);
    expect(json()).toEqual(named(['A', 'B', 'D', 'C', 'E', 'F']));
  });

  it('leaves out what is no job class', async () => {
    const { json } = await jobsOf({
      'workers/a.ts': job('A'),
      'workers/base.ts': `import { Job } from 'warren'\nexport abstract class Base extends Job { log() {} }\nexport { Job }`,
      'workers/child.ts': `import { Base } from './base.ts'\nexport class Child extends Base { perform() {} }`,
      'workers/other.ts':
        'export class NoJob { perform() {} }\nexport const x = 1\nexport default function f() {}\nexport const none = null',
      'workers/types.d.ts': 'export declare class Declared {}',
      'workers/a.test.ts': 'throw new Error("tests are not imported")',
      'workers/b.spec.js': 'throw new Error("tests are not imported")',
      'workers/.hidden.ts': 'throw new Error("dot files are not imported")',
      'workers/.git/x.ts': 'throw new Error("dot folders are not imported")',
      'workers/node_modules/x/y.js': 'throw new Error("packages are not imported")',
      'workers/readme.md': '# not code',
      'workers/data.json': '{}',
    });
    expect(json()).toEqual(named(['A', 'Child']));
  });

  it('takes a class that is exported twice as one, and shares modules between files', async () => {
    const { code, json } = await jobsOf({
      'workers/a.ts': `${job('A')}export { A as Alias }`,
      'workers/index.ts': `export * from './a.ts'\nexport { A as default } from './a.ts'`,
      'lib/count.ts': 'export const seen: string[] = []',
      'workers/x.ts': `import { seen } from '../lib/count.ts'\nseen.push('x')\n`,
      'workers/y.ts': `import { seen } from '../lib/count.ts'\nif (seen.length !== 1) throw new Error('not shared')`,
    });
    expect([code, json()]).toEqual([0, named(['A'])]);
  });

  it('understands a project that is no ES module', async () => {
    const { stderr, code, json } = await jobsOf({
      'package.json': '{}',
      'workers/a.ts': job('A'),
      'workers/b.js': `const { Job } = require('warren')\nexports.B = class B extends Job { perform() {} }`,
      'workers/c.mjs': job('C'),
    });
    expect([stderr, code]).toEqual(['', 0]);
    expect(json()).toEqual(named(['A', 'B', 'C']));
  });

  it('understands a file that says itself that it is no ES module', async () => {
    const { stderr, code, json } = await jobsOf({
      'workers/a.ts': job('A'),
      'workers/b.cjs': `const { Job } = require('warren')\nexports.B = class B extends Job { perform() {} }`,
    });
    expect([stderr, code]).toEqual(['', 0]);
    expect(json()).toEqual(named(['A', 'B']));
  });

  it('may print what it likes while it is imported: with --json stdout is the result alone', async () => {
    const chatty = `console.log('loading'); process.stdout.write('more\\n')\n${job('A')}`;
    const { stdout, stderr, json } = await jobsOf({ 'workers/a.ts': chatty });
    expect(stderr).toBe('loading\nmore\n');
    expect(json()).toEqual(named(['A']));
    expect(stdout.startsWith('[')).toBe(true);
  });

  it('follows links, and a loop of them only once', async () => {
    await using project = await userProject({ 'elsewhere/a.ts': job('A'), 'workers/b.ts': job('B') });
    await symlink(join(project.folder, 'elsewhere'), join(project.folder, 'workers/linked'));
    await symlink(join(project.folder, 'workers'), join(project.folder, 'elsewhere/loop'));
    const { json } = await warren(['jobs', '--json'], {}, project.folder);
    expect(json()).toEqual(named(['B', 'A']));
  });

  it('is the one named by flag, variable or config file', async () => {
    await using project = await userProject({
      'one/a.ts': job('A'),
      'two/b.ts': job('B'),
      'warren.config.ts': `const workers: string = 'one'\nexport default { workers }`,
    });
    const jobs = async (args: string[], env = {}) =>
      (await warren(['jobs', '--json', ...args], env, project.folder)).json();
    expect(await jobs([])).toEqual(named(['A']));
    expect(await jobs([], { WARREN_WORKERS: 'two' })).toEqual(named(['B']));
    expect(await jobs(['--workers', 'one'], { WARREN_WORKERS: 'two' })).toEqual(named(['A']));
  });
});

describe('exit code 78 and a sentence', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ['no folder', {}, /there is no folder 'workers'; name the one .* --workers/],
    [
      'no job class',
      { 'workers/a.ts': 'export const x = 1' },
      /no file in workers exports a class that extends Job/,
    ],
    [
      'a file that throws',
      { 'workers/deep/a.ts': 'throw new Error("no database")' },
      /workers\/deep\/a\.ts cannot be imported: .*no database/,
    ],
    ['a file with a slip', { 'workers/a.ts': 'export class {' }, /workers\/a\.ts cannot be imported: /],
    [
      'a package that is not there',
      { 'workers/a.js': "import 'nowhere'" },
      /workers\/a\.js cannot be imported: .*nowhere/,
    ],
    [
      'two of one name',
      { 'workers/a.ts': job('A'), 'workers/b.ts': job('B', "static jobName = 'A'") },
      /two job classes are called 'A', in workers\/a\.ts and in workers\/b\.ts; give one of them a static jobName/,
    ],
    [
      'a class whose perform is misspelt',
      { 'workers/a.ts': job('A'), 'workers/b.ts': job('B').replace('perform', 'preform') },
      /class B in workers\/b\.ts extends Job and has no perform\(payload, context\) method/,
    ],
    ['a job that cannot be', { 'workers/a.ts': job('A', "static timeout = 'soon'") }, /job A: timeout/],
    [
      'a queue that cannot be',
      { 'workers/a.ts': job('A', "static queue = 'mail.dead'") },
      /warren keeps that name/,
    ],
  ])('%s', async (_, files, sentence) => {
    const { code, stderr, stdout } = await jobsOf(files);
    expect(stderr).toMatch(sentence);
    expect([code, stdout]).toEqual([78, '']);
  });

  it('a folder that was named and is not there', async () => {
    const { code, stderr } = await jobsOf({ 'workers/a.ts': job('A') }, ['--workers', 'wrkers']);
    expect([code, stderr]).toEqual([
      78,
      expect.stringMatching(/workers folder wrkers: wrkers cannot be read \(ENOENT\)/),
    ]);
  });
});
