#!/usr/bin/env node
// Fails where a tracked file says that something is left for later: it is an issue, or it is not.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const marks = new RegExp(`\\b(${['TO'.concat('DO'), 'FIX'.concat('ME')].join('|')})\\b`);
const skipped = /^(package-lock\.json|LICENSE)$/;

const tracked = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
})
  .toString()
  .split('\0')
  .filter((file) => file && !skipped.test(file) && existsSync(new URL(file, `file://${root}`)));

const found = tracked.flatMap((file) =>
  readFileSync(new URL(file, `file://${root}`), 'utf8')
    .split('\n')
    .flatMap((line, index) => (marks.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
);

if (found.length > 0) {
  console.error(`Left for later:\n${found.join('\n')}`);
  process.exit(1);
}
