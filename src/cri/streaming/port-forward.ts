/** One forwarded connection, over SPDY or WebSocket: bytes in both directions, which end independently. */
import type { PortConnection } from '../../ports/streams.ts';
import type { ByteSink, ByteSource } from '../../base/byte-streams.ts';
import { pump } from '../../base/byte-streams.ts';
import { toFault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';

/** Connects to a port of the pod. */
export type Dial = (port: number) => Promise<PortConnection>;

export interface ForwardStreams {
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** Carries the reason of a failure to the client. */
  readonly error: ByteSink;
  /** Calls the listener when the client has disconnected or reset the stream. */
  onBroken(listener: () => void): void;
}

/**
 * Forwards one connection; settles when both directions have ended. An error is written to the error stream, which ends
 * once the target has closed its direction: client-go before 1.32 ends its own direction, and its user's connection,
 * only after that (kubernetes PR 128681). A user who waits for the target's end would wait for ever. Never rejects.
 */
export async function forwardConnection(dial: Dial, port: number, streams: ForwardStreams): Promise<void> {
  const { source, sink, error } = streams;
  try {
    const connection = await dial(port);
    streams.onBroken(() => connection.close());
    try {
      // input for a target that has closed is read and dropped: other connections share the client's socket
      await Promise.all([
        pump(source, connection.sink).catch(() => connection.close()),
        pump(connection.source, sink)
          .catch(() => connection.close())
          .then(() => error.end()),
      ]);
    } finally {
      connection.close();
    }
  } catch (thrown) {
    const fault = toFault(thrown);
    const message = fault.kind === 'bug' ? 'internal error: see the log of troupe' : fault.message;
    await error.write(Buffer.from(message.slice(0, streamLimits.errorChars), 'utf8')).catch(() => undefined);
  }
  source.cancel();
  sink.end();
  error.end();
}

/** A port number from a header or query; undefined for any other text. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/u.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}
