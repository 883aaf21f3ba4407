/** First steps of the pipeline: a delivery → a job that can run, or the reason why it never can. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Delivery } from '../broker/broker.ts';
import { type ErrorRecord, recordError } from '../core/error-record.ts';
import { JsonError, parseJson } from '../core/json.ts';
import type { DeadReason } from '../core/outcome.ts';
import type { Registration, Registry } from '../core/registry.ts';

export type Decoded = { ok: true; registration: Registration; payload: unknown } | Unfit;

/** Bad input: to be parked with its bytes, headers and this reason. */
export interface Unfit {
  ok: false;
  reason: DeadReason;
  error: ErrorRecord;
}

/** Decode → find the class → check the payload. Returns a promise only where a schema is asynchronous. */
export function decode(delivery: Delivery, registry: Registry): Decoded | Promise<Decoded> {
  const registration = registry.get(delivery.properties.type);
  if (!registration) return unknownJob(delivery.properties.type, registry);
  const text = utf8(delivery.body);
  if (text === undefined) return unfit('undecodable', 'DecodeError', 'the body is not valid UTF-8');
  const payload = parsed(text);
  if (payload instanceof JsonError)
    return unfit('undecodable', 'DecodeError', `the body is ${payload.message}`);
  const schema = registration.job.payload;
  return schema ? check(registration, schema, payload) : { ok: true, registration, payload };
}

const DECODER = new TextDecoder('utf-8', { fatal: true });

/** JSON is ASCII as a rule, which needs no strict decoder. */
function utf8(body: Buffer): string | undefined {
  const text = body.toString('utf8');
  if (!text.includes('�')) return text;
  try {
    return DECODER.decode(body);
  } catch {
    return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return error;
  }
}

async function check(registration: Registration, schema: StandardSchemaV1, input: unknown): Promise<Decoded> {
  const checked = await validate(schema, input);
  if ('value' in checked) return { ok: true, registration, payload: checked.value };
  return unfit('invalid-payload', 'InvalidPayload', checked.problem);
}

/** A schema's verdict in one shape; a schema that throws is a problem like any other. */
export async function validate(
  schema: StandardSchemaV1,
  input: unknown,
): Promise<{ value: unknown } | { problem: string }> {
  try {
    const result = await schema['~standard'].validate(input);
    return result.issues ? { problem: result.issues.map(describeIssue).join('; ') } : { value: result.value };
  } catch (error) {
    return { problem: `the schema threw: ${recordError(error).message}` };
  }
}

function describeIssue({ message, path }: StandardSchemaV1.Issue): string {
  const where = path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
  return where ? `${where}: ${message}` : message;
}

function unknownJob(type: string | undefined, registry: Registry): Unfit {
  const known = registry.all.map(({ name }) => name).join(', ') || 'none';
  const what = type
    ? `no job class is called '${type}'`
    : "the message has no 'type', so no job class is named";
  return unfit('unknown-job', 'UnknownJob', `${what}; this worker knows: ${known}`);
}

function unfit(reason: DeadReason, name: string, message: string): Unfit {
  return {
    ok: false,
    reason,
    error: recordError(Object.assign(new Error(message), { name, stack: undefined })),
  };
}
