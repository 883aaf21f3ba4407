/** AMQP headers as they travel. Own properties only are trusted. */
export type Headers = Record<string, unknown>;

/** The AMQP properties warren reads or writes. `expiration` and `userId` are left out on purpose. */
export interface MessageProperties {
  messageId?: string | undefined;
  type?: string | undefined;
  contentType?: string | undefined;
  contentEncoding?: string | undefined;
  /** Seconds since 1970. */
  timestamp?: number | undefined;
  correlationId?: string | undefined;
  replyTo?: string | undefined;
  appId?: string | undefined;
  priority?: number | undefined;
  headers: Headers;
  /** They could not be read: a copy would lose them, so such a message is only ever rejected or given back. */
  unreadable?: boolean | undefined;
}
