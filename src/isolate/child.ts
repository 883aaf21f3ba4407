/** A child as its parent sees it: a process or a thread, the same few things. */
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Birth, Down, Up } from './protocol.ts';

export type ChildKind = 'process' | 'thread';

/** How a child ended, and what it leaves as evidence. */
export interface Death {
  /** Null where a signal ended it, or where it never came to be. */
  exitCode: number | null;
  signal: string | null;
  /** The last it wrote to stderr, without passwords of URLs. */
  stderr: string;
}

export interface Child {
  readonly kind: ChildKind;
  /**
   * What is said to one that is gone is lost.
   * @throws RangeError where it is nested too deep to be cloned; nothing was said then
   */
  post(message: Down): void;
  /** At once, whatever it does. */
  kill(): void;
  /** Asks it to end by itself. */
  leave(): void;
}

/** Whom a child reports to. Both may still be called after `kill`; `onDeath` comes last, and once. */
export interface Watcher {
  onMessage(message: Up): void;
  onDeath(death: Death): void;
}

export type MakeChild = (birth: Birth, watcher: Watcher) => Child;

/** The program of a child stands beside this file, built or not as this file is. */
const ENDING = extname(new URL(import.meta.url).pathname);
export const ENTRY = new URL(`./entry${ENDING}`, import.meta.url);
/** From its sources warren runs with tsx, and so must a child. */
export const FROM_SOURCES = ENDING === '.ts';

/** Where one of our own packages is. */
export function urlOf(name: string): string {
  return pathToFileURL(createRequire(import.meta.url).resolve(name)).href;
}
