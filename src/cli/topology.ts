/** `warren topology`: what stands on the broker against what the job classes want. */
import type { Command } from 'commander';
import {
  applyTopology,
  type Difference,
  describeDifference,
  diffTopology,
  labelOf,
} from '../../topology/declarer.ts';
import type { Topology } from '../../topology/plan.ts';
import type { Broker } from '../broker/broker.ts';
import { wantedTopology } from '../config/wanted-topology.ts';
import { TopologyMismatchError } from '../core/errors.ts';
import { levelsStand } from '../levels.ts';
import { EXIT } from './exit.ts';
import { settingFlags } from './flags.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProjectWithJobs, type Project, visit } from './project.ts';

type Step = (broker: Broker, topology: Topology, json: boolean) => Promise<number>;

export function addTopology(program: Command, end: Verb): void {
  const topology = program
    .command('topology')
    .description('Look after the queues and exchanges on the broker.');
  const steps: [string, string, Step][] = [
    ['plan', 'Show what apply would do; changes nothing.', plan],
    ['apply', 'Create what is missing; changes and deletes nothing that stands.', apply],
    ['verify', 'Fail where the broker differs; changes nothing.', verify],
  ];
  for (const [name, description, step] of steps)
    addStep(topology.command(name).description(description), step, end);
}

function addStep(command: Command, step: Step, end: Verb): void {
  for (const option of settingFlags('queues', 'levels')) command.addOption(option);
  command.action(async () => {
    const flags = command.optsWithGlobals<{ json?: boolean }>();
    const project = await openProjectWithJobs(flags);
    end(
      await visit(project.settings, ['consuming'], async (broker) =>
        step(broker, await wanted(broker, project), flags.json ?? false),
      ),
    );
  });
}

/** The levels count from the moment somebody used them: then they have to stand in full. */
async function wanted(broker: Broker, { names, registry, settings }: Project): Promise<Topology> {
  const levels = settings.levels || (await levelsStand(broker, names));
  return wantedTopology(names, registry, { ...settings, levels });
}

const plan: Step = (broker, topology, json) =>
  compare(broker, topology, json, (difference) =>
    difference.state === 'missing' ? `would create ${labelOf(difference)}` : describeDifference(difference),
  );

const verify: Step = (broker, topology, json) => compare(broker, topology, json, describeDifference);

type Describe = (difference: Difference) => string;

async function compare(
  broker: Broker,
  topology: Topology,
  json: boolean,
  describe: Describe,
): Promise<number> {
  const { differences, fine, uncheckedBindings } = await diffTopology(broker, topology);
  if (json) output.json({ differences, fine, uncheckedBindings });
  else {
    for (const line of [...differences.map(describe), summary(differences.length, fine.length)])
      output.line(line);
    output.note(`${uncheckedBindings.length} bindings cannot be looked at over AMQP; apply makes them all`);
  }
  return differences.length > 0 ? EXIT.differs : EXIT.fine;
}

function summary(different: number, fine: number): string {
  return different > 0 ? `${fine} stand as wanted, ${different} do not` : 'everything stands as wanted';
}

async function apply(broker: Broker, topology: Topology, json: boolean): Promise<number> {
  try {
    const { created, present } = await applyTopology(broker, topology);
    if (json) output.json({ created, present, differences: [] });
    else output.line(`${linesOf(created)}${created.length} created, ${present.length} stood already`);
    return EXIT.fine;
  } catch (error) {
    if (!(error instanceof TopologyMismatchError)) throw error;
    const { created, present, differences } = error;
    if (json) output.json({ created, present, differences });
    const before = created.length > 0 ? `${linesOf(created)}then it stopped` : 'nothing was changed';
    output.note(`${before}:\n${error.message}`);
    return EXIT.differs;
  }
}

function linesOf(created: readonly string[]): string {
  return created.map((label) => `created ${label}\n`).join('');
}
