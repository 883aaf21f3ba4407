// The processes of bin/dev: each with its name before its lines, and each in a group of its own, so that Ctrl-C reaches
// them once, as the SIGTERM that an orchestrator would send.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { prettyFactory } from 'pino-pretty';

const { AMQP_URL, MANAGEMENT_URL, PORT = '8080', WARREN_PORT = '3000' } = process.env;
const page = `http://localhost:${PORT}/?name=foo`;
const colours = { worker: 36, page: 35, dev: 32 };
const plain = !process.stdout.isTTY || process.env.NO_COLOR;

// For people: what is no JSON stays as it is.
const pretty = prettyFactory({
  colorize: !plain,
  ignore: 'pid,hostname',
  translateTime: 'SYS:HH:MM:ss.l',
  singleLine: true,
});

function print(name, line) {
  const label = name.padEnd(6);
  console.log(`${plain ? label : `\u001b[${colours[name]}m${label}\u001b[0m`} ${line}`);
}

function launch(name, args, env = {}) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => print(name, pretty(line).trimEnd()));
  }
  child.ended = once(child, 'exit').then(([code, signal]) => {
    print('dev', `the ${name} ended: ${signal ?? `exit code ${code}`}`);
  });
  return child;
}

const worker = launch('worker', [
  'dist/src/cli/main.js',
  'work',
  '--workers',
  'workers',
  '--port',
  WARREN_PORT,
]);
const mark = `.run/worker-${worker.pid}`;
writeFileSync(mark, '');
const children = [worker];

let stopping = false;
function stop() {
  const signal = stopping ? 'SIGKILL' : 'SIGTERM';
  if (!stopping) print('dev', 'stopping: running jobs may finish (once more: at once)');
  stopping = true;
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill(signal);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

// A killed worker is no end: the page goes on taking names, and the next worker finds them.
worker.ended.then(() => {
  rmSync(mark, { force: true });
  if (!stopping) print('dev', 'its jobs are safe; bin/hard_worker starts another worker');
});

async function green(child, url) {
  for (let tries = 0; tries < 300 && !stopping && child.exitCode === null; tries++) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await pause(100);
  }
}

// The worker declares the queues; a page that is up before them would refuse its first visitor.
await green(worker, `http://localhost:${WARREN_PORT}/readyz`);
if (!stopping) {
  const env = { PORT, WORKER_URL: `http://localhost:${WARREN_PORT}` };
  const web = launch('page', ['--import', 'tsx', 'examples/web.ts'], env);
  children.push(web);
  await green(web, `http://localhost:${PORT}/healthz`);
}

print('dev', `page     ${page}`);
print('dev', `metrics  http://localhost:${WARREN_PORT}/metrics`);
if (MANAGEMENT_URL) {
  const { origin, username, password } = new URL(MANAGEMENT_URL);
  print('dev', `broker   ${origin} (user ${username}, password ${password})`);
} else {
  print('dev', `broker   ${new URL(AMQP_URL).host}`);
}
print(
  'dev',
  'bin/hard_worker starts one more worker, bin/rip kills them all; Ctrl-C stops everything, and the broker if it was started here',
);
await Promise.all(children.map((child) => child.ended));
