/** `warren/idempotency`: jobs whose effects must happen once, also across processes. */
export { type IdempotentOptions, idempotent } from './idempotency/idempotent.ts';
export { ClaimLostError } from './idempotency/lease.ts';
export { memoryStore } from './idempotency/memory-store.ts';
export { type RedisClient, type RedisStoreOptions, redisStore } from './idempotency/redis-store.ts';
export type { Claimed, IdempotencyStore } from './idempotency/store.ts';
