/** What children of this process need to run its jobs: they can import it, but not be given it. */
import type { RuntimeSettings } from '../config.ts';
import { ConfigurationError } from '../core/errors.ts';
import type { Registry } from '../core/registry.ts';

type Where = Pick<RuntimeSettings, 'workers' | 'middleware' | 'config'>;

const NEEDED = {
  workers: 'the folder whose files export the job classes, because children import them there',
  config: 'the config file that exports the middleware, because children load it there',
};

/** The option that children miss, if one. */
export function missingForChildren({ workers, middleware, config }: Where): keyof typeof NEEDED | undefined {
  if (workers === undefined) return 'workers';
  return middleware.length > 0 && config === undefined ? 'config' : undefined;
}

/** @throws ConfigurationError where a job asks for a child that could not run it */
export function checkChildren(settings: Where, registry: Registry): void {
  const missing = missingForChildren(settings);
  const isolated = registry.all.find(({ isolation }) => isolation !== 'inline');
  if (!isolated || !missing) return;
  throw new ConfigurationError(
    `job ${isolated.name}: isolation '${isolated.isolation}' needs the option '${missing}': ${NEEDED[missing]}`,
  );
}
