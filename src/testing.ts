/** The test kit: a job run once without a broker, and a broker in memory for client and runtime. */
export {
  type Clock,
  ManualClock,
  type MemoryBroker,
  type MemoryMessage,
  type MemoryServer,
  type PublishFault,
} from './broker/memory.ts';
export {
  type EnqueuedOnce,
  type LogLine,
  type Performed,
  type PerformOptions,
  performOnce,
} from './testing/perform-once.ts';
export { createTestServer, type TestServerOptions } from './testing/server.ts';
