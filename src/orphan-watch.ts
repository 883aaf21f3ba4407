/**
 * A child must not outlive its parent, whatever keeps it busy. While its event loop turns it hears the closing of its
 * IPC channel and ends in order; an endless loop hears nothing, so a thread of its own looks and, at last, kills.
 */
import { Worker } from 'node:worker_threads';

export interface OrphanWatchOptions {
  /** Who must live. Given by the parent itself: read here, it may already be whoever adopted an orphan. */
  parentPid: number;
  /** How long (ms) the child has from its parent's end to end by itself; 0: it is killed as soon as it is seen. */
  graceMs: number;
}

/** How often the thread looks, in ms. */
const LOOK_EVERY_MS = 250;

/**
 * SIGKILLs this process `graceMs` after its parent is gone (looked at every 250 ms). Costs a thread of a few MB;
 * keeps nothing alive. Returns the function that ends the watch.
 */
export function watchParent(options: OrphanWatchOptions): () => void {
  const thread = watcher(options);
  thread?.unref();
  thread?.on('error', () => {});
  return () => void thread?.terminate();
}

/** Undefined where no thread can be had: the closed channel is still heard. */
function watcher({ parentPid, graceMs }: OrphanWatchOptions): Worker | undefined {
  try {
    return new Worker(THREAD, {
      eval: true,
      // Neither loaders nor secrets have a business there.
      execArgv: [],
      env: {},
      workerData: { parentPid, graceMs, everyMs: LOOK_EVERY_MS },
    });
  } catch {
    return undefined;
  }
}

/** As text, because a file would need its loader, and a stuck main thread could not hand it over. */
const THREAD = `
const { workerData: { parentPid, graceMs, everyMs } } = require('node:worker_threads');
let goneAt;
setInterval(() => {
  // Whose parent has ended is adopted, so that the number changes; a number in use again would not deceive.
  if (process.ppid === parentPid) return;
  goneAt ??= performance.now();
  if (performance.now() - goneAt >= graceMs) process.kill(process.pid, 'SIGKILL');
}, everyMs);
`;
