/** Proof that the simulation can fail: each fault that is planted in warren breaks a rule. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Catch } from './hunt.ts';
import { hunted, plantAll } from './mutants.ts';
import { mutations } from './mutations.ts';

/** All are caught within twenty, and would be with other seeds, later. */
const HISTORIES = 1500;

const home = join(process.cwd(), '.run', `mutants-${process.pid}`);
let catches: Catch[] = [];
let problems = new Map<string, Error>();

beforeAll(async () => {
  problems = plantAll(home);
  catches = await hunted(
    home,
    HISTORIES,
    mutations.map(({ seed }, index) => ({ seed, index })),
  );
}, 240_000);

afterAll(() => rmSync(home, { recursive: true, force: true }));

describe('a warren that', () => {
  it.each(mutations.map((mutation, index) => ({ ...mutation, index })))('$name is caught', (mutation) => {
    expect(problems.get(mutation.name)).toBeUndefined();
    expect(mutation.breaks).toContain(catches[mutation.index]?.rule);
  });
});
