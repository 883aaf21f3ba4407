import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { Fifo } from '../../../src/broker/fifo.ts';
import { Waiting } from '../../../src/run/waiting.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function delivery(live = true): Delivery {
  return { live } as Delivery;
}

/** What is left of twenty that went in when fifteen have come out again. */
async function keptOf(push: (delivery: Delivery) => void, take: () => unknown): Promise<number> {
  const refs = Array.from({ length: 20 }, () => {
    const one = delivery();
    push(one);
    return new WeakRef(one);
  });
  for (let taken = 0; taken < 15; taken++) take();
  // A WeakRef holds on to its object until the turn of the event loop is over.
  await new Promise(setImmediate);
  collectGarbage();
  return refs.filter((ref) => ref.deref() !== undefined).length;
}

describe('deliveries that wait for their turn', () => {
  it('come in their order, without those that the broker took back', () => {
    const waiting = new Waiting();
    const [first, gone, last] = [delivery(), delivery(false), delivery()];
    for (const one of [first, gone, last]) waiting.push(one);
    expect([waiting.next(), waiting.next(), waiting.next()]).toEqual([first, last, undefined]);
  });

  it('are not kept once they have had it', async () => {
    const waiting = new Waiting();
    const kept = await keptOf(
      (one) => waiting.push(one),
      () => waiting.next(),
    );
    expect([kept, waiting.size]).toEqual([5, 5]);
  });
});

it('a first-in-first-out queue does not keep what has left', async () => {
  const fifo = new Fifo<Delivery>();
  const kept = await keptOf(
    (one) => fifo.push(one),
    () => fifo.shift(),
  );
  expect([kept, [...fifo].length]).toEqual([5, 5]);
});
