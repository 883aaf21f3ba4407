/** The store on Redis: one string a key, which says whose it is and whether it is done, and expires by itself. */
import type { Claimed, IdempotencyStore } from './store.ts';

/** What is needed of a client: node-redis (`redis`, `@redis/client`) has it. */
export interface RedisClient {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

export interface RedisStoreOptions {
  /** Put in front of each key, default `'warren:done:'`. */
  prefix?: string;
}

/** Compared and set by Redis in one step: between a GET and a SET of ours another worker could come. */
const SCRIPTS = {
  claim: `
    local held = redis.call('GET', KEYS[1])
    if held and string.sub(held, 1, 5) == 'done ' then return {'done', 0} end
    if held and held ~= 'held ' .. ARGV[1] then return {'busy', redis.call('PTTL', KEYS[1])} end
    redis.call('SET', KEYS[1], 'held ' .. ARGV[1], 'PX', ARGV[2])
    return {'claimed', 0}`,
  complete: `
    local held = redis.call('GET', KEYS[1])
    if held and held ~= 'held ' .. ARGV[1] and held ~= 'done ' .. ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], 'done ' .. ARGV[1], 'PX', ARGV[2])
    return 1`,
  release: `
    if redis.call('GET', KEYS[1]) ~= 'held ' .. ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])`,
};

/**
 * A store that all workers share. Give it a connected node-redis client, or a function that makes one: then it connects
 * at the first claim, so that commands which only read the config file do not. Keys are lost with Redis' data:
 * use a server that persists, and one that does not evict (`maxmemory-policy noeviction`).
 */
export function redisStore(
  client: RedisClient | (() => RedisClient | Promise<RedisClient>),
  { prefix = 'warren:done:' }: RedisStoreOptions = {},
): IdempotencyStore {
  const open = typeof client === 'function' ? opened(client) : () => client;
  const run = async (script: string, key: string, ...args: (string | number)[]) =>
    (await open()).eval(script, { keys: [prefix + key], arguments: args.map(String) });
  return {
    claim: async (key, owner, ttlMs) => claimedFrom(await run(SCRIPTS.claim, key, owner, ttlMs)),
    complete: async (key, owner, keepMs) => (await run(SCRIPTS.complete, key, owner, keepMs)) === 1,
    release: async (key, owner) => (await run(SCRIPTS.release, key, owner)) === 1,
  };
}

/** Made once; one that failed is tried again by the next who asks. */
function opened(make: () => RedisClient | Promise<RedisClient>): () => Promise<RedisClient> {
  let client: Promise<RedisClient> | undefined;
  return () => {
    client ??= Promise.resolve()
      .then(make)
      .catch((error) => {
        client = undefined;
        throw error;
      });
    return client;
  };
}

function claimedFrom(answer: unknown): Claimed {
  const [state, leftMs] = answer as [unknown, unknown];
  if (String(state) === 'busy') return { state: 'busy', leftMs: Math.max(0, Number(leftMs)) };
  return { state: String(state) === 'done' ? 'done' : 'claimed' };
}
