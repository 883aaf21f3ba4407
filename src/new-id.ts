import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Random bytes for so many ids are fetched at once: one by one they are most of what an id costs. */
const IDS = 256;
const BYTES = 16;

const pool = Buffer.alloc(IDS * BYTES);
let used = pool.length;

function rng(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return pool.subarray(used - BYTES, used);
}

const OPTIONS = { rng };

/** A job's id: a UUIDv7, so that ids sort by the moment they were made. */
export function newId(): string {
  return v7(OPTIONS);
}
