/**
 * Exec and attach over WebSocket: the first byte of each message is its channel (0 to 4: stdin, stdout, stderr, status,
 * resize). In the base64 protocols it is a digit, and base64 follows. Version 5 adds channel 255, whose message names
 * the channel that the client has closed.
 */
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../ports/clock.ts';
import type { ByteSink } from '../../base/byte-streams.ts';
import { ByteQueue } from '../../base/byte-streams.ts';
import { FaultError } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { Resizes, pacedSizes } from './command-channels.ts';
import type { CommandChannels, WantedStreams } from './command-channels.ts';
import { statusBytes } from './command-status.ts';
import type { CommandVersion } from './command-status.ts';
import { upTo } from './transport.ts';
import { WsConnection } from './ws-connection.ts';
import { CLOSE } from './ws-frames.ts';

/** The first byte of a message. */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const;

export interface WsCommandClient {
  readonly transport: Duplex;
  readonly head: Buffer;
  readonly wanted: WantedStreams;
  readonly version: CommandVersion;
  readonly isBase64: boolean;
  readonly clock: ClockPort;
  /** Called once when the client has disconnected or violated the protocol, also after `finish`. */
  onGone(why: Fault): void;
}

/** Channel and data of a message; undefined for a message without a channel, or with invalid base64. */
export function parseMessage(
  bytes: Buffer,
  isBase64: boolean,
): { readonly channel: number; readonly data: Buffer } | undefined {
  const [first] = bytes;
  if (first === undefined) return undefined;
  if (!isBase64) return { channel: first, data: bytes.subarray(1) };
  const text = bytes.toString('latin1', 1);
  if (first < 0x30 || first > 0x39 || !/^[A-Za-z0-9+/]*={0,2}$/u.test(text)) return undefined;
  return { channel: first - 0x30, data: Buffer.from(text, 'base64') };
}

/** A reader of messages, complete or in pieces. Each piece gets the channel of its message's first byte. */
export function channelReader(
  isBase64: boolean,
): (bytes: Buffer, isContinued: boolean) => ReturnType<typeof parseMessage> {
  let channel: number | undefined;
  return (bytes, isContinued) => {
    if (isContinued) return channel === undefined ? undefined : { channel, data: bytes };
    const message = parseMessage(bytes, isBase64);
    channel = message?.channel;
    return message;
  };
}

/** A channel on which the server sends. */
export function channelSink(connection: WsConnection, channel: number, isBase64: boolean): ByteSink {
  const mark = Buffer.from(isBase64 ? String(channel) : [channel]);
  return {
    write: (bytes) =>
      isBase64
        ? connection.write(true, mark, Buffer.from(Buffer.from(bytes).toString('base64')))
        : connection.write(false, mark, bytes),
    // the protocol has no half-close in this direction: closing the connection ends all channels
    end: () => undefined,
  };
}

/** Serves a client's channels from now on. */
export async function wsCommand(client: WsCommandClient): Promise<CommandChannels> {
  const { wanted, version, isBase64 } = client;
  const connection = new WsConnection(client.transport, client.head, client.clock, isBase64);
  const read = channelReader(isBase64);
  const stdin = wanted.stdin ? new ByteQueue((bytes) => connection.intake.used(bytes)) : undefined;
  const resizes = new Resizes();
  const sink = (wants: boolean, channel: number): ByteSink | undefined =>
    wants ? channelSink(connection, channel, isBase64) : undefined;
  const [stdout, stderr] = [sink(wanted.stdout, CHANNEL.stdout), sink(wanted.stderr, CHANNEL.stderr)];
  const status = channelSink(connection, CHANNEL.status, isBase64);
  connection.listen({
    onMessage(bytes, isContinued): void {
      const message = read(bytes, isContinued);
      if (message === undefined) return;
      const { channel, data } = message;
      if (channel === CHANNEL.stdin && stdin !== undefined) {
        connection.intake.came(data.length);
        stdin.push(data);
      } else if (channel === CHANNEL.resize) resizes.push(data);
      else if (channel === CHANNEL.close && version >= 5 && data[0] === CHANNEL.stdin) stdin?.end();
    },
    onClose(why): void {
      stdin?.fail(new FaultError(why));
      client.onGone(why);
    },
  });
  // an empty first message: some clients wait for it to know that the session is established
  await (stdout ?? stderr ?? status).write(Buffer.alloc(0)).catch(() => undefined);
  return {
    streams: {
      stdin,
      stdout,
      stderr,
      onResize: (listener) => resizes.onResize(pacedSizes(client.clock, listener)),
    },
    async finish(end): Promise<void> {
      const bytes = statusBytes(end, version);
      const isPatient = end.kind !== 'failed';
      if (bytes.length > 0)
        await upTo(
          client.clock,
          isPatient ? streamLimits.idleMs : portLimits.streamDrainMs,
          status.write(bytes),
        );
      await connection.close(CLOSE.normal, '', isPatient);
    },
  };
}
