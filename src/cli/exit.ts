/** What the command's end says. The numbers are part of the public surface. */
import { AdminError } from '../broker/broker.ts';
import {
  BrokerUnreachableError,
  ConfigurationError,
  TopologyMismatchError,
  WarrenError,
} from '../core/errors.ts';

export const EXIT = { fine: 0, failed: 1, usage: 2, differs: 3, unreachable: 4, configuration: 78 } as const;

/** The command line is wrong. */
export class UsageError extends Error {}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof TopologyMismatchError) return EXIT.differs;
  if (error instanceof BrokerUnreachableError) return EXIT.unreachable;
  if (error instanceof AdminError && error.failure === 'unavailable') return EXIT.unreachable;
  if (error instanceof ConfigurationError) return EXIT.configuration;
  return EXIT.failed;
}

/** One sentence for what was foreseen; with the stack for what was not. */
export function describe(error: unknown): string {
  if (error instanceof AdminError && error.failure === 'forbidden')
    return `${error.message}; give the user that permission (rabbitmqctl set_permissions)`;
  if (error instanceof WarrenError || error instanceof AdminError || error instanceof UsageError)
    return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Runs a check on something that stood on the command line. @throws UsageError */
export function usable<T>(what: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new UsageError(`${what}: ${(error as Error).message}`);
  }
}
