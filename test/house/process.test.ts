import { describe, expect, it } from '@jest/globals';
import { spawnNode } from '../support/process.ts';

describe('a spawned process', () => {
  it('is waited for by line, and tells how it ended', async () => {
    await using child = spawnNode(['-e', 'console.log("ready\\nsteady"); process.exitCode = 3']);
    expect(await child.waitForLine(/^st/)).toBe('steady');
    expect(await child.waitForLine('ready')).toBe('ready');
    expect(await child.ended()).toEqual({ code: 3, signal: null });
  });

  it('fails a wait as soon as it has ended, with its last words', async () => {
    await using child = spawnNode(['-e', 'console.error("broken"); process.exit(1)']);
    await expect(child.waitForLine('never')).rejects.toThrow(/"code":1.*without a line never[\s\S]*broken/);
  });

  it('is killed when it outlives its deadline', async () => {
    await using child = spawnNode(['-e', 'console.log("up"); setInterval(() => {}, 1000)']);
    await child.waitForLine('up');
    await expect(child.ended({ within: 50 })).rejects.toThrow('waited 50 ms');
    expect(await child.ended()).toEqual({ code: null, signal: 'SIGKILL' });
  });
});
