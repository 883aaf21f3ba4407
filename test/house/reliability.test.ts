/** docs/reliability.md names tests that exist, for every promise, and the last full run played every fault. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { rows } from '../faults/rows.ts';
import { root } from '../support/process.ts';

const page = readFileSync(`${root}docs/reliability.md`, 'utf8');
const promises = readFileSync(`${root}README.md`, 'utf8').match(/^\d+\. .*/gm) ?? [];

it('every promise of the README has its row, and links to it', () => {
  const readme = readFileSync(`${root}README.md`, 'utf8');
  expect(promises).toHaveLength(10);
  for (const n of promises.keys()) {
    expect(readme).toContain(`(docs/reliability.md#promise-${n + 1})`);
    expect(page).toContain(`<a id="promise-${n + 1}"></a>`);
  }
});

it('the tests it names exist', () => {
  const links = [...page.matchAll(/\]\(\.\.\/([^)#]+)[^)]*\)/g)].map(([, path]) => path);
  expect(links.length).toBeGreaterThan(30);
  expect(links.filter((path) => !existsSync(`${root}${path}`))).toEqual([]);
});

it('its table has every fault, and none is red', () => {
  const [, run = ''] = page.split(/<!-- faults:(?:begin|end) -->/);
  expect(rows.filter(({ what }) => !run.includes(`| ${what} |`)).map(({ name }) => name)).toEqual([]);
  expect(run).not.toContain(': red**');
});
