import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { Registry, register } from '../../../src/core/registry.ts';
import { Job, type JobClass } from '../../../src/job.ts';

class Mail extends Job {
  static override queue = 'mail';
  static override retry = { attempts: 3, backoff: ['1s', '5s'] };
  static override timeout = '30s';
  perform() {}
}

class Report extends Job {
  perform() {}
}

/** A class with these statics. */
function jobWith(statics: object): JobClass {
  return Object.assign(
    class Odd extends Job {
      perform() {}
    },
    statics,
  );
}

describe('the registry', () => {
  const registry = new Registry([Mail, Report]);

  it('knows a job by the name it travels by', () => {
    expect(registry.get('Mail')).toMatchObject({ name: 'Mail', queue: 'mail', job: Mail, timeoutMs: 30_000 });
    expect(registry.get('mail')).toBeUndefined();
    expect(registry.get(undefined)).toBeUndefined();
  });

  it.each(['__proto__', 'constructor', 'toString', ''])('knows no job %p', (name) => {
    expect(registry.get(name)).toBeUndefined();
  });

  it('fills in the defaults', () => {
    expect(registry.get('Report')).toMatchObject({ queue: 'default', timeoutMs: undefined });
    expect(registry.get('Report')?.policy.attempts).toBe(12);
  });

  it('tells queues and delays for the plan', () => {
    expect(registry.queues).toEqual(['mail', 'default']);
    expect(new Set(new Registry([Mail]).delays)).toEqual(new Set([1000, 5000]));
  });

  it('takes a class that is exported twice once', () => {
    expect(new Registry([Mail, Mail]).all).toHaveLength(1);
  });

  it('refuses two classes of one name, in words that help', () => {
    const double = jobWith({ jobName: 'Mail' });
    expect(() => new Registry([Mail, double])).toThrow(ConfigurationError);
    expect(() => new Registry([Mail, double])).toThrow(
      "two job classes are called 'Mail'; give one of them a static jobName",
    );
  });

  it('lets a class inherit its queue, but not the name', () => {
    class Urgent extends Mail {}
    expect(new Registry([Mail, Urgent]).get('Urgent')).toMatchObject({ queue: 'mail' });
  });
});

describe('a class that can be', () => {
  it('travels by its jobName', () => {
    expect(register(jobWith({ jobName: 'mail.send/v2' })).name).toBe('mail.send/v2');
  });

  it('may have a schema', () => {
    expect(() => register(jobWith({ payload: z.object({ id: z.string() }) }))).not.toThrow();
  });
});

describe('a class that cannot be', () => {
  it.each<[string, object, string]>([
    ['a bad queue name', { queue: 'two words' }, 'queue "two words" cannot be used'],
    ['an empty queue name', { queue: '' }, 'queue "" cannot be used'],
    ['a queue that is no text', { queue: 5 }, 'queue 5 cannot be used'],
    ['a queue of warren’s own', { queue: 'mail.dead' }, 'warren keeps that name for itself'],
    ['bad retry options', { retry: { attempts: 0 } }, 'attempts must be a whole number'],
    ['retry that is null', { retry: null }, 'retry must be an object'],
    ['a timeout of nothing', { timeout: 0 }, 'a timeout must be 1ms to 24d, not 0'],
    ['a timeout beyond Node’s timers', { timeout: '25d' }, 'a timeout must be 1ms to 24d, not 25d'],
    ['a timeout that is no duration', { timeout: 'long' }, 'timeout: "long" is no duration'],
    ['a payload that is no schema', { payload: {} }, 'no Standard Schema'],
    ['a payload of null', { payload: null }, 'no Standard Schema'],
  ])('%s: a ConfigurationError that names it', (_, statics, words) => {
    const register = () => new Registry([jobWith(statics)]);
    expect(register).toThrow(ConfigurationError);
    expect(register).toThrow(/^job Odd: /);
    expect(register).toThrow(words);
  });

  it.each([5, 'x'.repeat(256), '€'.repeat(86)])('the name %p', (jobName) => {
    expect(() => new Registry([jobWith({ jobName })])).toThrow(
      'a job needs a name of 1 to 255 bytes; set its static jobName',
    );
  });

  it('no name at all', () => {
    const nameless = (() =>
      class extends Job {
        perform() {}
      })();
    expect(() => new Registry([nameless])).toThrow(/^job \(without a name\): a job needs a name/);
  });

  it('no perform', () => {
    class Lazy extends (Job as unknown as new () => object) {}
    expect(() => new Registry([Lazy as unknown as JobClass])).toThrow(
      'job Lazy: it has no perform(payload, context) method',
    );
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['an object', new Mail()],
    ['Job itself', Job],
    ['another class', class Stranger {}],
  ])('%s is no job class', (_, value) => {
    expect(() => new Registry([value as JobClass])).toThrow(ConfigurationError);
    expect(() => new Registry([value as JobClass])).toThrow('is no class that extends Job');
  });
});
