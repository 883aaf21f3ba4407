/** What should stand on the broker for these job classes and settings. */
import type { Names } from '../../topology/names.ts';
import { planTopology, type QueueType, type Topology } from '../../topology/plan.ts';
import type { Registry } from '../core/registry.ts';
import { type NamedSchedule, schedulesOf } from '../core/schedule.ts';

/**
 * The queues that settings or jobs name, whoever consumes them, and every delay a policy can ask for; the levels
 * only where they are asked for, because most systems never use them.
 * @throws ConfigurationError when two queues would have one name
 */
export function wantedTopology(
  names: Names,
  registry: Registry,
  {
    queueTypes,
    levels,
    schedules = {},
  }: {
    queueTypes: ReadonlyMap<string, QueueType>;
    levels: boolean;
    schedules?: Readonly<Record<string, NamedSchedule>>;
  },
): Topology {
  const ticking = schedulesOf(registry.all, schedules);
  const queues = [
    ...new Set([...queueTypes.keys(), ...registry.queues, ...ticking.map(({ queue }) => queue)]),
  ];
  return planTopology({
    names,
    queues: queues.map((name) => ({ name, type: queueTypes.get(name) })),
    delays: registry.delays,
    levels,
    schedules: ticking.length > 0,
  });
}
