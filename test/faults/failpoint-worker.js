/**
 * A worker that dies at one exact step: the copy of a retry is confirmed, its original is not acked yet.
 * The broker object it is given does that, so that the product needs no hook for it.
 */
import { createRabbitBroker } from '../../dist/src/broker/rabbitmq.js';
import { createRuntime } from '../../dist/src/runtime.js';
import { FaultJob } from '../fixtures/faults/fault-job.js';

/** So many retries go well before. */
const SPARED = 2;

const broker = createRabbitBroker({ urls: (process.env.AMQP_URL ?? '').split(',') });
let retries = 0;

/** @type {import('../../src/broker/broker.ts').Broker} */
const dying = {
  get status() {
    return broker.status;
  },
  connect: (options) => broker.connect(options),
  async publish(publication, options) {
    await broker.publish(publication, options);
    if (publication.exchange.includes('delayed-') && ++retries > SPARED) process.kill(process.pid, 'SIGKILL');
  },
  subscribe: (queue, options) => broker.subscribe(queue, options),
  admin: (use) => broker.admin(use),
  close: (timeout) => broker.close(timeout),
  on: (event, listener) => broker.on(event, listener),
};

const queues = { faults: { concurrency: 10 } };
process.exit(await createRuntime({ broker: dying, jobs: [FaultJob], queues, http: false }).run());
