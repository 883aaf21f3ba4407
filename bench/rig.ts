/** What both sides of the comparison are asked to be. The drivers in drive.ts know nothing else of either. */

/** About 200 bytes of JSON. `at` is the moment of enqueueing, by `performance.now()` of the enqueueing process. */
export interface Payload {
  n: number;
  at: number;
  filler: string;
}

export interface Sender {
  /** Resolves when the job is confirmed and routed. */
  send(payload: Payload): Promise<unknown>;
  /** As the side's own way of sending many at once does it. */
  sendMany(payloads: Payload[]): Promise<unknown>;
  close(): Promise<void>;
}

export interface WorkerOptions {
  queue: string;
  concurrency: number;
  /** A throw is a failed attempt: it waits in the 1 s rung and comes back as the next attempt. */
  perform(payload: Payload, attempt: number): Promise<void>;
  /** The copy for the next attempt is confirmed. */
  retried?: (() => void) | undefined;
  /** Write the log lines of a running system, to nowhere. */
  logs: boolean;
}

export interface Worker {
  /** Hands in all acks, then leaves. */
  stop(): Promise<void>;
}

export interface Rig {
  sender(queue: string): Promise<Sender>;
  /** Resolves when it consumes. */
  worker(options: WorkerOptions): Promise<Worker>;
}

export interface RigOptions {
  url: string;
  namespace: string;
}

/** The name the jobs of the bench travel by. */
export const JOB = 'BenchJob';
export const RUNG_MS = 1000;

const FILLER = 'x'.repeat(160);

export function payload(n: number, at = 0): Payload {
  return { n, at, filler: FILLER };
}
