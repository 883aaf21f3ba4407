/** The few things warren needs from inside amqplib, in one place, so that an upgrade has one file to look at. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { ChannelModel } from 'amqplib';

interface Mux {
  _readIncoming(): void;
}

interface Inside extends EventEmitter {
  rest: Buffer;
  recvFrame(): unknown;
  stream: Socket;
  muxer: Mux;
  blocked: boolean;
  /** True once the connection is closed or closing because of its socket. */
  expectSocketClose: boolean;
}

function inside(model: ChannelModel): Inside {
  return model.connection as unknown as Inside;
}

/**
 * amqplib writes each frame by itself: one system call a message. Corked, all that one pass over the
 * channels yields leaves in one.
 */
export function gatherWrites(model: ChannelModel): void {
  const { muxer, stream } = inside(model);
  const pass = muxer._readIncoming.bind(muxer);
  muxer._readIncoming = () => {
    stream.cork();
    try {
      pass();
    } finally {
      stream.uncork();
    }
  };
}

/** A connection can be closed by the broker before anyone could listen for it. */
export function isGone(model: ChannelModel): boolean {
  const { expectSocketClose, stream } = inside(model);
  return expectSocketClose || stream.destroyed;
}

/** Calls `listener` when the connection is over, also after `model.removeAllListeners()`. */
export function onceGone(model: ChannelModel, listener: () => void): void {
  inside(model).once('close', listener);
}

const HEADER_FRAME = 2;
const BASIC_PROPERTIES = 60;

/** A header table nested thousands deep overflows amqplib's decoder, and one such message would end each connection. */
export function surviveDeepHeaders(model: ChannelModel): void {
  const connection = inside(model);
  const receive = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    const frame = connection.rest;
    try {
      return receive();
    } catch (error) {
      if (!(error instanceof RangeError) || frame[0] !== HEADER_FRAME) throw error;
      const size = Number(frame.readBigUInt64BE(11));
      return {
        id: BASIC_PROPERTIES,
        channel: frame.readUInt16BE(1),
        size,
        fields: { headers: {}, unreadable: true },
      };
    }
  };
}
