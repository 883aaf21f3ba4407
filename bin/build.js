#!/usr/bin/env node
// tsc → dist/, and the command made executable. Plain JavaScript: it runs before anything is built.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

// `npm ci` in an image or in an unpacked tarball comes before, or without, the sources: nothing to build then.
if (process.argv.includes('--if-sources') && !(existsSync(join(root, 'src/index.ts')) && existsSync(tsc))) {
  process.exit(0);
}

const started = new Date();
rmSync(join(root, 'dist'), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

const command = join(root, 'dist/src/cli/main.js');
if (existsSync(command)) chmodSync(command, 0o755);
writeFileSync(join(root, 'dist/.built'), `${started.toISOString()}\n`);
