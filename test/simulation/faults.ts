/** What goes wrong, and how long. */
import type { Fault } from './history.ts';
import type { Process } from './process.ts';
import type { ServerChannel } from './server-channel.ts';
import type { World } from './world.ts';

export function strike(world: World, fault: Fault): void {
  STRIKES[fault.what](world, fault);
}

const STRIKES: Record<Fault['what'], (world: World, fault: Fault) => void> = {
  cut: (world, fault) => {
    const { random } = world;
    // Each side notices in its own time: the client may be back before the server has missed it.
    const notice = { server: random.chance(0.5) ? 0 : fault.ms, client: random.chance(0.7) ? 1 : fault.ms };
    linkOf(world, fault)?.cut(fault, notice);
  },
  goodbye: (world, fault) => linkOf(world, fault)?.lose(),
  channel: (world, fault) => {
    for (const channel of channelsOf(world, fault)) channel.fail(406, 'PRECONDITION_FAILED - as ordered');
  },
  cancel: (world, fault) => {
    for (const channel of channelsOf(world, { ...fault, role: 'consuming' })) channel.cancelAll();
  },
  crash: (world, fault) => {
    const victim = world.processAt(fault.process);
    victim.crash(fault.toServer);
    world.later(fault.ms, () => world.replace(victim));
  },
  drain: (world, fault) => {
    const victim = world.workerAt(fault.process);
    if (!victim.draining) world.drain(victim, 200 + fault.ms);
  },
  broker: (world, { ms }) => {
    world.server.stop();
    world.later(ms, () => world.server.start());
  },
  refuse: (world, { count }) => world.server.order('refuse', count),
  missing: (world, { count }) => world.deleteIfEmpty(count),
  alarm: (world, { ms }) => {
    world.server.setAlarm('low on memory');
    world.later(ms, () => world.server.setAlarm(undefined));
  },
  stall: (world, fault) => {
    const wire = linkOf(world, fault)?.wire;
    if (fault.toServer > 0) wire?.toServer.stall(fault.ms);
    if (fault.toClient > 0) wire?.toClient.stall(fault.ms);
  },
  double: (world, { count }) => world.server.order('double', count),
  holdBack: (world, { count }) => world.server.order('holdBack', count),
};

/** Only workers consume. */
function linkOf(world: World, { process, role }: Fault) {
  const victim: Process = role === 'consuming' ? world.workerAt(process) : world.processAt(process);
  return victim.broker[role].link;
}

function channelsOf(world: World, fault: Fault): ServerChannel[] {
  return [...(linkOf(world, fault)?.channels ?? [])];
}
