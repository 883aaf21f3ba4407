/** Faults of the broker as a whole. */
import { setTimeout as hold } from 'node:timers/promises';
import { type PrivateBroker, setMemoryAlarm, untilNewQueuesSurvive } from '../../support/broker.ts';
import { until } from '../../support/until.ts';
import type { Ground } from '../ground.ts';
import type { Scenario } from '../scenario.ts';
import type { Stage } from '../stage.ts';

function node({ ground }: Stage): PrivateBroker {
  const [first] = ground.nodes;
  if (!first) throw new Error('this fault needs a broker of its own');
  return first;
}

/** How long it waits for an ack, and how often it looks; for channels opened from now on. In ms. */
function patience(wait: number, look: number) {
  const settings = `[{consumer_timeout, ${wait}}, {channel_tick_interval, ${look}}]`;
  return async ({ nodes }: Pick<Ground, 'nodes'>) => {
    await nodes[0]?.eval(`[application:set_env(rabbit, K, V) || {K, V} <- ${settings}].`);
  };
}

/** For each job that was added to the steady ones: how many runs of it go on. */
function runsOfAdded({ ledger }: Stage): number[] {
  const running = new Map<string, number>();
  for (const { id, what } of ledger.entries)
    if (id.startsWith('FaultJob-')) running.set(id, (running.get(id) ?? 0) + (what === 'start' ? 1 : -1));
  return [...running.values()];
}

export const brokerRows: readonly Scenario[] = [
  {
    name: 'broker-sigkill',
    what: 'broker: SIGKILL',
    needs: 'node',
    twice: 'lost connection',
    strike: async (stage) => {
      await untilNewQueuesSurvive(node(stage));
      await node(stage).kill();
    },
    mend: (stage) => node(stage).start(),
  },
  {
    name: 'broker-stop',
    what: 'broker: orderly stop',
    needs: 'node',
    twice: 'lost connection',
    strike: (stage) => node(stage).stop(),
    mend: (stage) => node(stage).start(),
  },
  {
    name: 'broker-pause',
    what: 'broker: SIGSTOP for 15 s',
    needs: 'node',
    twice: 'lost connection',
    strike: async (stage) => {
      await node(stage).pause();
      await hold(15_000);
    },
    mend: (stage) => node(stage).resume(),
  },
  {
    name: 'memory-alarm',
    what: 'broker: memory alarm for 8 s',
    needs: 'node',
    strike: async (stage) => {
      await setMemoryAlarm(node(stage), true);
      await hold(8000);
    },
    mend: (stage) => setMemoryAlarm(node(stage), false),
  },
  {
    name: 'disk-alarm',
    what: 'broker: disk alarm for 8 s',
    needs: 'node',
    strike: async (stage) => {
      await node(stage).ctl('set_disk_free_limit', '9000GB');
      await hold(8000);
    },
    mend: async (stage) => void (await node(stage).ctl('set_disk_free_limit', '1MB')),
  },
  {
    name: 'connections-closed',
    what: 'operator: closes all connections',
    twice: 'lost connection',
    strike: ({ operator }) => operator.closeConnections(),
  },
  {
    name: 'password-changed',
    what: 'operator: changes the password, closes all connections, changes it back after 5 s',
    twice: 'lost connection',
    strike: async ({ operator }) => {
      await operator.setPassword('another');
      await operator.closeConnections();
      await hold(5000);
    },
    mend: ({ operator }) => operator.setPassword(),
  },
  {
    name: 'ack-timeout',
    what: 'broker: takes back what is not acked within 3 s; four jobs of 8 s',
    needs: 'node',
    twice: 'ack timeout',
    // 4.3 is asked by the consumer, 3.10 has to be told.
    env: { WARREN_ACK_TIMEOUT: '3s' },
    prepare: patience(3000, 500),
    strike: async (stage) => {
      const long = () => stage.load.add('FaultJob', { ms: 8000, failures: 0 }, { failures: 0 });
      await Promise.all([long(), long(), long(), long()]);
      await hold(8000);
      // Each run that is late makes another one, until one is near enough to its end when it comes back.
      await until(() => runsOfAdded(stage).every((running) => running === 0), {
        within: 60_000,
        every: 200,
        what: 'the long jobs to end',
      });
    },
    after: ({ ground }) => patience(1_800_000, 60_000)(ground),
  },
];
