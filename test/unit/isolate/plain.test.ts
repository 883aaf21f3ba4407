import { expect, it } from '@jest/globals';
import { pino } from 'pino';
import { loggable, plainFields } from '../../../src/isolate/plain.ts';
import { toWire } from '../../../src/isolate/wire-error.ts';

class Named extends Error {
  override readonly name = 'Named';
  readonly code = 'E_NAMED';
}

function logged(fields: object): { err: Record<string, unknown> } {
  const lines: string[] = [];
  const logger = pino({}, { write: (line) => void lines.push(line) });
  logger.error(loggable(structuredClone(plainFields(fields))));
  return JSON.parse(lines.join(''));
}

it('an error with a name of its own is logged as it is inline, and harms nobody', () => {
  const { err } = logged({ err: new Named('no') });
  expect(err).toMatchObject({ type: 'Named', name: 'Named', code: 'E_NAMED', message: 'no' });
});

it('so is one that holds itself', () => {
  const err: Error & { self?: unknown } = new Error('round');
  err.self = { err };
  expect(logged({ err }).err).toMatchObject({ type: 'Error', message: 'round' });
});

it('and one with a key that is a trap', () => {
  const err = Object.assign(new Error('trap'), JSON.parse('{"constructor": 1}'));
  Object.defineProperty(err, '__proto__', { value: null, enumerable: true });
  expect(logged({ err }).err).toMatchObject({ message: 'trap' });
});

it('what cannot be looked at crosses as an error all the same', () => {
  const trap = Object.defineProperty(new Error('deep'), 'code', {
    get() {
      throw new Error('no');
    },
  });
  expect(toWire(trap)).toMatchObject({ name: 'Error', message: 'deep' });
});

it('what is no object, or cannot be looked at, harms nobody either', () => {
  const trap = {
    get when() {
      throw new Error('no');
    },
  };
  expect(plainFields(null)).toEqual({ fields: undefined });
  expect(plainFields(undefined)).toEqual({ fields: undefined });
  expect(plainFields(trap)).toEqual({ fields: {} });
});
