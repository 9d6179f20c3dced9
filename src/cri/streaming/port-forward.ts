/** One forwarded connection, whatever the client speaks: bytes both ways, each direction with its own end. */
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
  /** Where the client reads why it did not work. */
  readonly error: ByteSink;
  /** Calls the listener when the client wants neither direction any more: it has gone, or has reset the stream. */
  onBroken(listener: () => void): void;
}

/** Settles when both directions have ended; what goes wrong is told on the error stream. Never rejects. */
export async function forward(dial: Dial, port: number, streams: ForwardStreams): Promise<void> {
  const { source, sink, error } = streams;
  try {
    const connection = await dial(port);
    streams.onBroken(() => connection.close());
    try {
      // what the client still sends to a target that has gone is read and dropped: other connections share its way
      await Promise.all([
        pump(source, connection.sink).catch(() => connection.close()),
        pump(connection.source, sink).catch(() => connection.close()),
      ]);
    } finally {
      connection.close();
    }
  } catch (thrown) {
    const fault = toFault(thrown);
    const message = fault.kind === 'bug' ? 'internal error; the log of troupe tells more' : fault.message;
    await error.write(Buffer.from(message.slice(0, streamLimits.errorChars), 'utf8')).catch(() => undefined);
  }
  source.cancel();
  sink.end();
  error.end();
}

/** A port as the header or query of a client says it; undefined when it is none. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/u.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}
