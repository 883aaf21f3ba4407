import { expect, it } from '@jest/globals';
import { alive } from '../support/alive.ts';
import { spawnNode } from '../support/process.ts';
import { until } from '../support/until.ts';

async function family(mode: 'turns' | 'loops') {
  const parent = spawnNode(['test/fixtures/orphan/parent.js', mode]);
  const line = await parent.waitForLine(/^child \d+ watches/);
  return { parent, child: Number(line.split(' ')[1]) };
}

it.each(['turns', 'loops'] as const)(
  'a child whose event loop %s does not outlive its parent',
  async (mode) => {
    const { parent, child } = await family(mode);
    await using _ = parent; // its end is that of the pipes, which the child holds as well
    expect(alive(child)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !alive(child), { what: 'the end of the orphan' });
  },
);
