import { readFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { publicApi, snapshotFile } from './public-api.ts';

it('has the public API that was agreed on (npm run api:update accepts a change; say it in the CHANGELOG)', () => {
  expect(publicApi().split('\n')).toEqual(readFileSync(snapshotFile, 'utf8').split('\n'));
});
