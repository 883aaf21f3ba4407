import { describe, expect, it } from '@jest/globals';
import { type Change, describeDifference, readMismatch } from '../../../topology/differences.ts';

/** As RabbitMQ 3.10.8 and 4.3.6 said it to amqplib 2.3.1, the name of the queue apart. */
const refusal = (said: string) =>
  `declaring queue 'q' failed: Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - ${said}"`;

const different = (...changes: Change[]) =>
  describeDifference({ what: 'queue', name: 'mail', state: 'different', changes, said: '' });

describe('what a 406 says', () => {
  it.each([
    [
      "inequivalent arg 'x-message-ttl' for queue 'delayed-3s' in vhost '/': received '3000' but current is '5000'",
      { argument: 'x-message-ttl', found: '5000' },
    ],
    [
      "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '5000' of type 'short'",
      { argument: 'x-message-ttl', found: '5000' },
    ],
    [
      "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the value '100' of type 'byte' but current is none",
      { argument: 'x-delivery-limit', found: null },
    ],
    // A queue without x-queue-type is classic: 3.10 says it this way, 4.3 that way.
    [
      "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
      { argument: 'x-queue-type', found: null },
    ],
    [
      "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
      { argument: 'x-queue-type', found: 'classic' },
    ],
    [
      "inequivalent arg 'type' for exchange 'jobs' in vhost '/': received 'fanout' but current is 'direct'",
      { argument: 'type', found: 'direct' },
    ],
    [
      "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none but current is the value 'foo' of type 'longstr'",
      { argument: 'alternate-exchange', found: 'foo' },
    ],
    [
      "inequivalent arg 'x-message-ttl' for queue 't1.it's {ok}' in vhost '/': received '2' but current is '1'",
      { argument: 'x-message-ttl', found: '1' },
    ],
  ])('%s', (said, mismatch) => {
    expect(readMismatch(refusal(said))).toEqual(mismatch);
    expect(readMismatch(`PRECONDITION_FAILED - ${said}`)).toEqual(mismatch);
  });

  it('is cut off at 255 bytes, so that the value behind a long name is not known', () => {
    const said = `inequivalent arg 'x-message-ttl' for queue '${'n'.repeat(200)}...`;
    expect(readMismatch(refusal(said))).toEqual({ argument: 'x-message-ttl', found: undefined });
  });

  it('may be about something else', () => {
    expect(readMismatch(refusal("invalid arg 'x-max-age' for queue 'q' in vhost '/'"))).toBeUndefined();
    expect(readMismatch('')).toBeUndefined();
  });
});

describe('in words', () => {
  const ttl: Change = { argument: 'x-message-ttl', wanted: '3000', found: '5000' };

  it('another value', () => {
    expect(
      describeDifference({ what: 'queue', name: 'delayed-3s', state: 'different', changes: [ttl], said: '' }),
    ).toBe(
      'queue delayed-3s exists with x-message-ttl 5000, wanted 3000; RabbitMQ cannot change it: ' +
        'publish to a new name, or drain and delete it, see docs/operations.md',
    );
  });

  it('several, none at all, and one that is too much', () => {
    expect(
      different(
        ttl,
        { argument: 'x-overflow', wanted: 'reject-publish', found: null },
        { argument: 'x-expires', wanted: null, found: '9' },
      ),
    ).toMatch(
      /^queue mail exists with x-message-ttl 5000, wanted 3000, and without x-overflow, wanted reject-publish, and with x-expires 9, wanted none; /,
    );
  });

  it('another type, whatever else differs with it', () => {
    const type: Change = { argument: 'x-queue-type', wanted: 'quorum', found: null };
    expect(different(ttl, type)).toMatch(/^queue mail exists as a classic queue, wanted a quorum one; /);
    expect(different({ ...type, wanted: 'classic', found: 'stream' })).toMatch(
      /^queue mail exists as a stream queue, wanted a classic one; /,
    );
  });

  it('a value that the broker did not get to say', () => {
    expect(different({ ...ttl, found: undefined })).toMatch(
      /^queue mail exists with another x-message-ttl, wanted 3000; /,
    );
  });

  it('the broker’s own, where they were not understood', () => {
    const said = refusal('something new');
    expect(
      describeDifference({ what: 'queue', name: 'mail', state: 'different', changes: [], said }),
    ).toMatch(/^queue mail exists and differs from what is wanted \(PRECONDITION_FAILED - something new\); /);
  });

  it('an exchange, which has another way out', () => {
    const changes = [{ argument: 'type', wanted: 'direct', found: 'topic' }];
    expect(
      describeDifference({ what: 'exchange', name: 'jobs', state: 'different', changes, said: '' }),
    ).toBe(
      'exchange jobs exists with type topic, wanted direct; RabbitMQ cannot change it: ' +
        'stop what publishes to it, delete it and apply again, see docs/operations.md',
    );
  });

  it('something missing', () => {
    expect(describeDifference({ what: 'queue', name: 'mail', state: 'missing', arguments: {} })).toBe(
      "queue mail does not exist; 'warren topology apply' creates it",
    );
  });

  it('a lack of permission', () => {
    const said = `failed: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - access to queue 'mail' refused"`;
    expect(
      describeDifference({ what: 'queue', name: 'mail', state: 'forbidden', action: 'compare', said }),
    ).toBe(
      "queue mail could not be compared: this user has no permission to configure it (ACCESS_REFUSED - access to queue 'mail' refused)",
    );
    expect(
      describeDifference({ what: 'queue', name: 'mail', state: 'forbidden', action: 'create', said }),
    ).toContain('could not be created');
    expect(
      describeDifference({ what: 'queue', name: 'mail', state: 'forbidden', action: 'bind', said }),
    ).toContain('could not be bound');
  });
});
