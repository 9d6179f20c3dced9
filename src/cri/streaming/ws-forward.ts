/**
 * PortForward over WebSocket: two channels per port, data and error, in the order of the requested ports. The server's
 * first message on each channel is the port number in two bytes, little-endian. There is one connection per port,
 * without half-close.
 */
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../ports/clock.ts';
import { ByteQueue } from '../../base/byte-streams.ts';
import { FaultError } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { forwardConnection } from './port-forward.ts';
import type { Dial } from './port-forward.ts';
import { channelReader, channelSink } from './ws-command.ts';
import { WsConnection } from './ws-connection.ts';
import { CLOSE } from './ws-frames.ts';

export interface WsForwardClient {
  readonly transport: Duplex;
  readonly head: Buffer;
  readonly clock: ClockPort;
  readonly isBase64: boolean;
  readonly dial: Dial;
  readonly ports: readonly number[];
  onGone(why: Fault): void;
}

/** Forwards the ports until all connections have ended or the client has disconnected; `close` ends it. */
export function wsForward(client: WsForwardClient): { close(): Promise<void> } {
  const { isBase64 } = client;
  const connection = new WsConnection(client.transport, client.head, client.clock, isBase64);
  const read = channelReader(isBase64);
  const broken: (() => void)[] = [];
  let isGone = false;
  const sources = client.ports.map(() => new ByteQueue((bytes) => connection.intake.used(bytes)));
  connection.listen({
    onMessage(bytes, isContinued): void {
      const message = read(bytes, isContinued);
      const source =
        message === undefined || message.channel % 2 === 1 ? undefined : sources[message.channel / 2];
      if (message === undefined || source === undefined) return;
      connection.intake.came(message.data.length);
      source.push(message.data);
    },
    onClose(why): void {
      isGone = true;
      for (const source of sources) source.fail(new FaultError(why));
      for (const listener of broken.splice(0)) listener();
      client.onGone(why);
    },
  });
  const all = client.ports.map(async (port, index) => {
    const [sink, error] = [
      channelSink(connection, 2 * index, isBase64),
      channelSink(connection, 2 * index + 1, isBase64),
    ];
    const mark = Buffer.from([port & 0xff, port >>> 8]);
    await Promise.all([sink.write(mark), error.write(mark)]);
    const source = sources[index] ?? new ByteQueue();
    // without half-close, the connection ends when the target closes its direction
    const ending = { write: (bytes: Uint8Array) => sink.write(bytes), end: () => source.end() };
    await forwardConnection(client.dial, port, {
      source,
      sink: ending,
      error,
      onBroken: (listener) => (isGone ? listener() : void broken.push(listener)),
    });
  });
  void Promise.allSettled(all).then(() => connection.close(CLOSE.normal, '', true));
  return { close: () => connection.close(CLOSE.normal, '') };
}
