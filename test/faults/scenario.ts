/** A fault: how it is made and how it is mended, and what it may do to jobs. */
import type { Series } from '../support/broker.ts';
import type { Ground } from './ground.ts';
import type { LoadSettings } from './load.ts';
import type { Cause } from './oracle.ts';
import type { Stage } from './stage.ts';

export interface Scenario {
  /** What it is called on the command line. */
  readonly name: string;
  /** What it is called in the table. */
  readonly what: string;
  /** `node`: it stops, breaks or alarms the broker, which must be its own. `cluster`: three nodes. */
  readonly needs?: 'node' | 'cluster';
  /** Where it means something; default everywhere. */
  readonly series?: readonly Series[];
  /** Workers and client reach the broker through `stage.proxy`. */
  readonly proxied?: boolean;
  /** Why jobs may run twice; default: they may not. */
  readonly twice?: Cause;
  readonly load?: Partial<LoadSettings>;
  /** For worker processes. */
  readonly env?: NodeJS.ProcessEnv;
  /** Worker processes, and consumers each of them has; default 2 and 1. */
  readonly workers?: number;
  readonly consumersEach?: number;
  /** It mostly waits: it is played beside the others, on a broker of its own. */
  readonly slow?: boolean;
  /** How long the rest may take, default 240 s. */
  readonly drainMs?: number;
  /** Before anything connects to the broker. */
  prepare?(ground: Ground): Promise<void>;
  /** Breaks it, and holds it broken. */
  strike(stage: Stage): Promise<void>;
  /** Puts it right. From its end on the time to heal counts. */
  mend?(stage: Stage): Promise<void>;
  /** After the verdict: leaves the broker as it was. */
  after?(stage: Stage): Promise<void>;
}
