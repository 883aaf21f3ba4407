/** Where it is kept which jobs were done. Three methods; `warren/idempotency` has one in memory and one on Redis. */

/** What a store says to one who wants to run what a key stands for. */
export type Claimed =
  /** Yours for `ttl` ms, or until you complete or release it. */
  | { state: 'claimed' }
  /** It was completed, and that is still kept. */
  | { state: 'done' }
  /** Another owner holds it, for `leftMs` from now if it is not renewed. */
  | { state: 'busy'; leftMs: number };

/**
 * Each method is atomic for its key, whoever calls at the same time. All may reject: then it is not known whether it
 * happened, and the caller may ask again with the same owner.
 */
export interface IdempotencyStore {
  /** Claims a key that is free or expired. By the owner that holds it already: renews it. Times in ms. */
  claim(key: string, owner: string, ttlMs: number): Promise<Claimed>;
  /** Done, for `keepMs`. False, and nothing changes, when another owner has claimed or completed it meanwhile. */
  complete(key: string, owner: string, keepMs: number): Promise<boolean>;
  /** Frees the key. False, and nothing changes, when this owner does not hold it. */
  release(key: string, owner: string): Promise<boolean>;
}
