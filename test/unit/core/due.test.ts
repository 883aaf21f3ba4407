import { describe, expect, it } from '@jest/globals';
import { dueMoment } from '../../../src/core/due.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';

const NOW = Date.UTC(2030, 0, 1);
const LONGEST = 268_435_455_000;
const due = (when: object) => dueMoment(when, NOW, LONGEST);

describe('when a job is due', () => {
  it('is now, unless something else is said', () => {
    expect(due({})).toBeUndefined();
    expect(due({ in: undefined, at: undefined })).toBeUndefined();
  });

  it('is so long from now, or that moment', () => {
    expect(due({ in: '37s' })).toBe(NOW + 37_000);
    expect(due({ in: 1500 })).toBe(NOW + 1500);
    expect(due({ at: new Date(NOW + 5) })).toBe(NOW + 5);
  });

  it('is now for a moment of the past, and for no time at all', () => {
    expect(due({ at: new Date(NOW - 86_400_000) })).toBeUndefined();
    expect(due({ at: new Date(NOW) })).toBeUndefined();
    expect(due({ in: 0 })).toBeUndefined();
  });

  it('is one of the two, and a time that can be', () => {
    expect(() => due({ in: '1s', at: new Date(NOW) })).toThrow("either 'in' a while or 'at' a moment");
    expect(() => due({ in: 'soon' })).toThrow('in: "soon" is no duration');
    expect(() => due({ in: -1 })).toThrow(ConfigurationError);
    expect(() => due({ at: new Date(Number.NaN) })).toThrow(
      "'at' must be a Date that is one, not Invalid Date",
    );
    expect(() => due({ at: '2030-01-01T00:00Z' })).toThrow("'at' must be a Date");
  });

  it('is not beyond the last level', () => {
    expect(due({ in: LONGEST })).toBe(NOW + LONGEST);
    expect(() => due({ in: LONGEST + 1 })).toThrow(
      "'in' is 3106d21h24m15s1ms away; a job can be enqueued for at most 3106d21h24m15s from now",
    );
    expect(() => due({ at: new Date(NOW + LONGEST + 1000) })).toThrow("'at' is 3106d21h24m16s away");
  });
});
