/** The program of a child: `process-child.ts` forks it, `thread-child.ts` makes a thread of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { watchParent } from '../orphan-watch.ts';
import { Inside, type Port } from './inside.ts';
import { type Birth, type Down, isOurs, ours } from './protocol.ts';

if (parentPort) {
  const up = parentPort;
  const port: Port = {
    post: (message) => up.postMessage(ours(message)),
    onMessage: (hear) => void up.on('message', (said) => isOurs<Down>(said) && hear(said.warren)),
  };
  await new Inside(port).open(workerData as Birth);
} else {
  const birth = JSON.parse(process.argv[2] ?? '{}') as Birth;
  // An endless loop hears no closed channel, and must not be left behind.
  watchParent({ parentPid: birth.parentPid, graceMs: 0 });
  // One that can hear goes by itself: its parent has ended, or wants it no more.
  process.on('disconnect', () => process.exit(0));
  // Whoever signals every process of a service means the parent, which says what becomes of the job.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});
  const port: Port = {
    post: (message) =>
      void (process.connected && process.send?.(ours(message), undefined, undefined, () => {})),
    onMessage: (hear) => void process.on('message', (said) => isOurs<Down>(said) && hear(said.warren)),
  };
  await new Inside(port).open(birth);
}
