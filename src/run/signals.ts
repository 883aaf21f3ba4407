/** SIGTERM and SIGINT: the first drains, the second ends the process at once. */
import { constants } from 'node:os';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

export type StopSignal = (typeof SIGNALS)[number];

/** `atOnce` is called on the second signal, before the process ends. Returns the function that gives the signals back. */
export function onStopSignals(stop: (signal: StopSignal) => void, atOnce = () => {}): () => void {
  let received = false;
  const take = (signal: StopSignal) => {
    if (received) {
      atOnce();
      process.exit(128 + constants.signals[signal]);
    }
    received = true;
    stop(signal);
  };
  for (const signal of SIGNALS) process.on(signal, take);
  return () => {
    for (const signal of SIGNALS) process.off(signal, take);
  };
}
