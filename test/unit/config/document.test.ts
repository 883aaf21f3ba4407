import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { FILES, hasMarks, renewed } from '../../../bin/settings-table.ts';
import { root } from '../../support/process.ts';

const texts = FILES.map((file) => join(root, file))
  .filter((path) => existsSync(path))
  .map((path) => [path, readFileSync(path, 'utf8')] as const);

describe('the table of settings', () => {
  it.each(texts)(
    'in %s is that of the code (node --import tsx bin/settings-table.ts renews it)',
    (_, text) => {
      expect(renewed(text)).toBe(text);
    },
  );

  it('stands in the documentation', () => {
    expect(texts.some(([, text]) => hasMarks(text))).toBe(true);
  });
});
