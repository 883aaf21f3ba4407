/**
 * As PID 1 of a container a process without listeners never hears SIGTERM, so listening begins before anything
 * else is loaded. Whoever can stop in a better way takes the listening over.
 */
import { constants } from 'node:os';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

let end = (signal: (typeof SIGNALS)[number]): number => 128 + constants.signals[signal];

const leave = (signal: (typeof SIGNALS)[number]) => process.exit(end(signal));

export function listen(): void {
  for (const signal of SIGNALS) process.on(signal, leave);
}

/** From now on a signal ends the process with this code. */
export function endWith(code: number): void {
  end = () => code;
}

/** To be called when another listener is there. */
export function handOver(): void {
  for (const signal of SIGNALS) process.off(signal, leave);
}
