/** Streams of a client into a pod: a process beside init, the container's own terminal or pipes, a port of the pod. */
import type { ByteSink, ByteSource } from '../base/byte-streams.ts';
import type { SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { ProcessIdentity } from './journal.ts';
import type { ContainerInput } from './runtime.ts';

/** Both at least 1 and at most 65535. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** What a client of exec or attach wants; an absent stream is none. */
export interface ClientStreams {
  readonly stdin: ByteSource | undefined;
  readonly stdout: ByteSink | undefined;
  readonly stderr: ByteSink | undefined;
  /** Calls the listener with the last size that is known, then with each new one; while its promise is open only the last one waits. */
  onResize(listener: (size: TerminalSize) => void | Promise<void>): void;
}

export interface StreamExecInput extends ContainerInput {
  readonly argv: readonly string[];
  readonly init: ProcessIdentity;
  readonly tty: boolean;
  /** Called once `argv` is not read any more, before the process runs: the session may last for hours and does not keep it. */
  readonly onArgvRead?: () => void;
}

/** A connection to a port; each direction ends by itself. */
export interface PortConnection {
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** Ends both directions at once. Repeatable. */
  close(): void;
}

export interface DialInput {
  readonly sandboxId: SandboxId;
  readonly network: 'pod' | 'node';
  /** 1 to 65535. */
  readonly port: number;
}

export interface StreamsPort {
  /**
   * Runs `argv` in the container with the client's streams and gives its exit code once its output was written to
   * the client. A program that can't be started rejects with `outside`; when the call is aborted or a stream of the
   * client breaks, the process is killed with all that it started before this rejects.
   */
  exec(
    input: StreamExecInput,
    client: ClientStreams,
    fx: EffectContext,
  ): Promise<{ readonly exitCode: number }>;
  /**
   * Output from now on, and stdin, of the container's own process, until it ends, the client has had enough
   * (its stdin ends without a terminal, or it is aborted), or the client is too slow (`exhausted`).
   */
  attach(input: ContainerInput, client: ClientStreams, fx: EffectContext): Promise<void>;
  /** Connects to the pod's loopback, 127.0.0.1 and then ::1. Rejects with `outside` when nobody listens there. */
  dial(input: DialInput, fx: EffectContext): Promise<PortConnection>;
}
