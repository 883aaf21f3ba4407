import { availableParallelism } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import { commandSources, type Environment, supervisorSettingsFrom } from '../../../src/config.ts';

const settings = async (env: Environment, flags = {}) =>
  supervisorSettingsFrom(await commandSources(flags, import.meta.dirname, env));

describe('how many processes', () => {
  it('is one, without a supervisor, unless somebody says more', async () => {
    expect(await settings({})).toMatchObject({ processes: 1, stallMs: 60_000, graceMs: 30_000 });
    expect(await settings({ WARREN_PROCESSES: '4' })).toMatchObject({ processes: 4 });
    expect(await settings({ WARREN_PROCESSES: '4' }, { processes: '2' })).toMatchObject({ processes: 2 });
    expect(await settings({ WARREN_PROCESSES: 'auto', WARREN_STALL_TIMEOUT: '0' })).toMatchObject({
      processes: availableParallelism(),
      stallMs: 0,
    });
  });

  it.each(['0', '257', '2.5', '-1', 'many'])('is not %s', async (value) => {
    await expect(settings({ WARREN_PROCESSES: value })).rejects.toThrow(
      `WARREN_PROCESSES: "${value}" cannot be used; allowed: 'auto' or a whole number from 1 to 256`,
    );
  });
});
