/** All faults, in the order of the table. */

import { brokerRows } from './rows/broker.ts';
import { clusterRows } from './rows/cluster.ts';
import { isolationRows } from './rows/isolation.ts';
import { networkRows } from './rows/network.ts';
import { processRows } from './rows/processes.ts';
import { queueRows } from './rows/queues.ts';
import { workerRows } from './rows/workers.ts';
import type { Scenario } from './scenario.ts';

export const rows: readonly Scenario[] = [
  ...brokerRows,
  ...queueRows,
  ...networkRows,
  ...workerRows,
  ...processRows,
  ...isolationRows,
  ...clusterRows,
];
