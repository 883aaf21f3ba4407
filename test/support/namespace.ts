/** One namespace a test, so that tests share a broker without meeting. */
import { randomBytes } from 'node:crypto';
import { removeAll } from './management.ts';

export interface TestNamespace extends AsyncDisposable {
  /** What goes into `namespace:` or WARREN_NAMESPACE. */
  readonly name: string;
  /** A broker-side name in it: `of('mail.dead')` → `t1a2b3c.mail.dead`. */
  of(name: string): string;
  /** Deletes its queues and exchanges. */
  remove(): Promise<void>;
}

/** `url` is a private broker's management URL, where the test has one. */
export function testNamespace(url?: string): TestNamespace {
  const name = `t${randomBytes(5).toString('hex')}`;
  const remove = () => removeAll(`${name}.`, url);
  return { name, of: (inner) => `${name}.${inner}`, remove, [Symbol.asyncDispose]: remove };
}
