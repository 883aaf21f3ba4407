/** The package as npm would publish it, unpacked beside a user's program. Needs a build. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { root, spawnNode } from '../support/process.ts';

const home = mkdtempSync(join(tmpdir(), 'warren-pack-'));
const modules = join(home, 'node_modules');
const installed = join(modules, 'warren');
let packed: string[];

beforeAll(() => {
  const pack = ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', home];
  const printed = JSON.parse(execFileSync('npm', pack, { cwd: root, encoding: 'utf8' }));
  const [{ filename, files }] = Array.isArray(printed) ? printed : Object.values(printed);
  packed = files.map(({ path }: { path: string }) => path);
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(home, filename), '-C', installed, '--strip-components=1']);
  borrowPackages();
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Its dependencies are those of this checkout. */
function borrowPackages(): void {
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  writeFileSync(join(home, 'package.json'), JSON.stringify({ type: 'module' }));
}

describe('the package', () => {
  it('holds the build, its sources and what the README leads to, and nothing of the workshop', () => {
    expect(packed).toEqual(
      expect.arrayContaining([
        'package.json',
        'LICENSE',
        'dist/src/index.js',
        'dist/src/index.d.ts',
        'dist/topology/plan.js',
        'deploy/prometheus/alerts.yml',
      ]),
    );
    const wanted = /^(dist|src|topology|docs|deploy|workers|examples)\/|^[A-Z]+(\.md)?$|^package\.json$/;
    expect(packed.filter((path) => !wanted.test(path))).toEqual([]);
  });

  it('has every page and file that its README links to', () => {
    const readme = readFileSync(join(installed, 'README.md'), 'utf8');
    const linked = [...readme.matchAll(/\]\((?!http)([^)#]+)[^)]*\)/g)].map(([, path = '']) => path);
    expect(linked.length).toBeGreaterThan(20);
    expect(linked.filter((path) => !existsSync(join(installed, path)))).toEqual([]);
  });

  it('has a command that can be executed', () => {
    const command = join(installed, 'dist/src/cli/main.js');
    expect(statSync(command).mode & 0o111).not.toBe(0);
    expect(execFileSync(command, ['--version'], { encoding: 'utf8' })).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('is imported by its names, and by no other way', async () => {
    writeFileSync(
      join(home, 'use.js'),
      `import { createClient, createRuntime, Job } from 'warren';
       import * as testing from 'warren/testing';
       const closed = await import('warren/dist/src/runner.js').catch((error) => error.code);
       console.log(typeof createClient, typeof createRuntime, typeof Job, Object.keys(testing).length > 0, closed);`,
    );
    await using program = spawnNode([join(home, 'use.js')], { cwd: home });
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    expect(program.stdout.trim()).toBe('function function function true ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it('is imported without what only a worker or a connection needs', async () => {
    writeFileSync(
      join(home, 'loaded.js'),
      `import { createRequire } from 'node:module';
       import 'warren';
       const loaded = Object.keys(createRequire(import.meta.url).cache).map((path) => path.split('/node_modules/').pop());
       console.log([...new Set(loaded.map((path) => path.split('/')[0]))].join());`,
    );
    await using program = spawnNode([join(home, 'loaded.js')], { cwd: home });
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    expect(program.stdout.trim()).toBe('');
  });

  it('types a user’s strict program', async () => {
    writeFileSync(
      join(home, 'job.ts'),
      `import { dead, exponential, Job, type JobContext, snooze } from 'warren';
       export class Greet extends Job<{ name: string }> {
         static queue = 'mail';
         static retry = { attempts: 3, backoff: exponential({ first: '3s', factor: 10, max: '24h' }) };
         async perform({ name }: { name: string }, { attempt, signal, id }: JobContext) {
           if (signal.aborted) return snooze('1m');
           if (attempt > 2) return dead(\`\${id} greets \${name} no more\`);
           return undefined;
         }
       }
       // @ts-expect-error a name is no number
       new Greet().perform({ name: 1 });
      `,
    );
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    await using tsc = spawnNode([join(root, 'node_modules/typescript/bin/tsc'), ...options, 'job.ts'], {
      cwd: home,
    });
    const ending = await tsc.ended({ within: 80_000 });
    expect(tsc.stdout).toBe('');
    expect(ending.code).toBe(0);
  });
});
