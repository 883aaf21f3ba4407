/** Where a broker is and how to log in, read from an AMQP URL. */
import type { Options } from 'amqplib';
import { ConfigurationError } from '../core/errors.ts';

export interface Server {
  /** The URL as it may be shown: without its password. */
  readonly shown: string;
  readonly options: Options.Connect;
}

/**
 * We parse the URL ourselves because amqplib decodes credentials with `unescape`, which garbles
 * percent-encoded UTF-8. https://www.rabbitmq.com/docs/uri-spec
 * @throws ConfigurationError when it is no AMQP URL; the message does not hold the password
 */
export function parseServer(text: string): Server {
  const url = parsed(text);
  const protocol = url.protocol.slice(0, -1);
  if (protocol !== 'amqp' && protocol !== 'amqps')
    throw unusable(text, "it must begin with 'amqp://' or 'amqps://'");
  if (url.hostname === '') throw unusable(text, 'it names no host');
  const username = decoded(url.username, text);
  const vhost = decoded(url.pathname.slice(1), text) || '/';
  const hasLogin = url.username !== '' || url.password !== '';
  const options: Options.Connect = {
    protocol,
    hostname: decoded(url.hostname, text).replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (protocol === 'amqps' ? 5671 : 5672) : Number(url.port),
    username: hasLogin ? username : 'guest',
    password: hasLogin ? decoded(url.password, text) : 'guest',
    vhost,
    ...limits(url, text),
  };
  return { shown: shown(url), options };
}

function parsed(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // The error of `new URL` carries its input, password and all: it is not passed on.
    throw unusable(text, "it is no URL; percent-encode special characters, e.g. '/' as %2F and '#' as %23");
  }
}

function limits(url: URL, text: string): Options.Connect {
  const found: Options.Connect = {};
  for (const name of ['heartbeat', 'frameMax', 'channelMax'] as const) {
    const value = url.searchParams.get(name);
    if (value === null) continue;
    if (!/^\d{1,9}$/.test(value)) throw unusable(text, `its ${name} must be a whole number`);
    found[name] = Number(value);
  }
  return found;
}

function decoded(part: string, text: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw unusable(
      text,
      "a '%' in it is not followed by a percent-encoded UTF-8 character; write a bare '%' as %25",
    );
  }
}

function shown(url: URL): string {
  const user = url.username === '' ? '' : `${url.username}@`;
  return `${url.protocol}//${user}${url.host}${url.pathname}`;
}

function unusable(text: string, why: string): ConfigurationError {
  // It may be broken in a way that hides where its password is: nothing before the host is shown.
  const host = text.slice(text.lastIndexOf('@') + 1);
  const safe = host === text ? text : `…@${host}`;
  return new ConfigurationError(`broker URL ${JSON.stringify(safe)} cannot be used: ${why}`);
}
