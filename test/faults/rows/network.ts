/** Faults of the way between us and the broker. */
import { setTimeout as hold } from 'node:timers/promises';
import type { Scenario } from '../scenario.ts';

/** Longer than it takes to notice a silent peer (two heartbeats of 5 s). */
const SILENCE_MS = 15_000;

const row = (scenario: Omit<Scenario, 'proxied'>): Scenario => ({ proxied: true, ...scenario });

export const networkRows: readonly Scenario[] = [
  row({
    name: 'net-cut',
    what: 'network: every connection reset, three times',
    twice: 'lost connection',
    strike: async ({ proxy }) => {
      for (let times = 0; times < 3; times++) {
        proxy.cut();
        await hold(1500);
      }
    },
  }),
  row({
    name: 'net-stall',
    what: 'network: nothing passes for 15 s',
    twice: 'lost connection',
    strike: async ({ proxy }) => {
      proxy.stall();
      await hold(SILENCE_MS);
    },
    mend: ({ proxy }) => proxy.resume(),
  }),
  row({
    name: 'net-half-close',
    what: 'network: half-closed from the broker’s side',
    twice: 'lost connection',
    strike: async ({ proxy }) => proxy.halfClose(),
  }),
  row({
    name: 'net-silent',
    what: 'network: reset, then new connections meet silence for 12 s',
    twice: 'lost connection',
    strike: async ({ proxy }) => {
      proxy.stall();
      proxy.cut();
      await hold(12_000);
    },
    mend: ({ proxy }) => proxy.resume(),
  }),
  row({
    name: 'net-refused',
    what: 'network: connections refused for 5 s',
    twice: 'lost connection',
    strike: async ({ proxy }) => {
      await proxy.refuse();
      await hold(5000);
    },
    mend: ({ proxy }) => proxy.resume(),
  }),
  row({
    name: 'net-delay',
    what: 'network: 250 ms more each way for 8 s',
    strike: async ({ proxy }) => {
      proxy.delay(250);
      await hold(8000);
    },
    mend: ({ proxy }) => proxy.resume(),
  }),
  row({
    name: 'net-slices',
    what: 'network: every byte in a packet of its own for 6 s',
    // A system call a byte: with more the machine is what is tested.
    load: { rate: 25 },
    strike: async ({ proxy }) => {
      proxy.slice(1);
      await hold(6000);
    },
    mend: ({ proxy }) => proxy.resume(),
  }),
];
