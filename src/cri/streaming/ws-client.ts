/**
 * The client's side of exec and attach over WebSocket, version 5 of the remote command protocol (ws-command.ts is the
 * server's side).
 */
import type { ClockPort } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import type { TerminalSize } from '../../ports/streams.ts';
import { streamLimits } from '../bounds.ts';
import { CHANNEL, channelReader } from './ws-command.ts';
import { WsConnection } from './ws-connection.ts';
import type { Dialed } from './ws-dial.ts';
import { CLOSE } from './ws-frames.ts';

/** The subprotocol: version 4 with half-close of stdin. */
export const CLIENT_PROTOCOL = 'v5.channel.k8s.io';

/** How a command ended, as its client sees it. */
export type ClientEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  /** The server says why there is no exit code. */
  | { readonly kind: 'failed'; readonly message: string }
  /** The connection ended without a word. */
  | { readonly kind: 'lost' };

export interface ClientOutput {
  /** Resolves when more may be written. */
  stdout(bytes: Uint8Array): Promise<void>;
  stderr(bytes: Uint8Array): Promise<void>;
}

export interface ProgramClient {
  /** Settles when the command has ended and all of its output was written. Never rejects. */
  readonly ended: Promise<ClientEnd>;
  /** Sends bytes of stdin; resolves when more may be sent. Rejects once the server has gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** No more stdin will come. */
  endInput(): void;
  resize(size: TerminalSize): void;
  /** Ends the connection, and with it an exec'd process. */
  close(): void;
}

/** Begins to read; `newMask` gives four random bytes for each frame. */
export function commandClient(
  { transport, head }: Dialed,
  clock: ClockPort,
  newMask: () => Buffer,
  output: ClientOutput,
): ProgramClient {
  const connection = new WsConnection(transport, head, clock, false, newMask);
  const read = channelReader(false);
  const { promise: ended, resolve } = Promise.withResolvers<ClientEnd>();
  const status = new ByteBlocks('read a status', streamLimits.statusBytes);
  // writes of both streams one after the other, so that the end waits for all of them
  let written = Promise.resolve();
  const pass = (write: (bytes: Uint8Array) => Promise<void>, data: Uint8Array): void => {
    connection.intake.came(data.length);
    written = written
      .then(() => write(data))
      // a reader that has gone is noticed by the owner of the stream
      .catch(() => undefined)
      .then(() => connection.intake.used(data.length));
  };
  connection.listen({
    onMessage(bytes, isContinued): void {
      const message = read(bytes, isContinued);
      if (message === undefined) return;
      const { channel, data } = message;
      if (channel === CHANNEL.stdout) pass(output.stdout, data);
      else if (channel === CHANNEL.stderr) pass(output.stderr, data);
      else if (channel === CHANNEL.status && data.length <= status.room) status.appendCopy(data);
    },
    onClose(): void {
      void written.then(() => resolve(endOf(Buffer.from(status.takeAll()).toString('utf8'))));
    },
  });
  const send = (channel: number, data: Uint8Array): Promise<void> =>
    connection.write(false, Buffer.from([channel]), data);
  const quietly = (sent: Promise<void>): void => void sent.catch(() => undefined);
  return {
    ended,
    write: (bytes) => send(CHANNEL.stdin, bytes),
    endInput: () => quietly(send(CHANNEL.close, Buffer.from([CHANNEL.stdin]))),
    resize: ({ columns, rows }) =>
      quietly(send(CHANNEL.resize, Buffer.from(JSON.stringify({ Width: columns, Height: rows })))),
    close: () => void connection.close(CLOSE.normal, ''),
  };
}

/** Without a status the connection broke. */
function endOf(status: string): ClientEnd {
  return status === '' ? { kind: 'lost' } : parseStatus(status);
}

/** metav1.Status: the exit code is in a cause of type `ExitCode`. */
export function parseStatus(text: string): ClientEnd {
  try {
    const { status, message, details } = JSON.parse(text) as StatusText;
    if (status === 'Success') return { kind: 'exited', exitCode: 0 };
    const code = details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
    return code !== undefined && /^\d{1,3}$/u.test(code)
      ? { kind: 'exited', exitCode: Number(code) }
      : { kind: 'failed', message: typeof message === 'string' ? message : text };
  } catch {
    return { kind: 'failed', message: text };
  }
}

interface StatusText {
  readonly status?: unknown;
  readonly message?: unknown;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}
