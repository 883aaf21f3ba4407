/** What travels through the pipeline. Its id is not in here: the request's id is the job's id at every step. */
export interface SendRequest {
  customer: string;
  text: string;
}

/** The two services the pipeline talks to. `npx tsx examples/pipeline.ts` stands in for both. */
export const PERMISSIONS_URL = process.env.PERMISSIONS_URL ?? 'http://localhost:8081/permissions';
export const INTERFACE_URL = process.env.INTERFACE_URL ?? 'http://localhost:8081/interface';
