/**
 * Streams between a client and a pod: an additional process (exec), the container's own terminal or pipes
 * (attach), a port of the pod.
 */
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

/** The streams of a client of exec or attach; undefined when the client did not request that stream. */
export interface ClientStreams {
  readonly stdin: ByteSource | undefined;
  readonly stdout: ByteSink | undefined;
  readonly stderr: ByteSink | undefined;
  /**
   * Calls the listener with the last known size, then with each new one; while its promise is pending only the latest
   * size waits. Where the terminal may have that size already, another one that came before it is passed on first: only
   * a change has the program draw its screen again.
   */
  onResize(listener: (size: TerminalSize) => void | Promise<void>): void;
}

export interface StreamExecInput extends ContainerInput {
  readonly argv: readonly string[];
  readonly init: ProcessIdentity;
  readonly tty: boolean;
  /**
   * Called once `argv` is no longer needed, before the process runs. A session may last for hours and must
   * not keep a large argv in memory.
   */
  readonly onArgvRead?: () => void;
}

/** A connection to a port; each direction ends on its own. */
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
  /**
   * Addresses of a pod whose processes run on another kernel, where the host's loopback leads nowhere; tried after it.
   * Empty for other pods.
   */
  readonly guestAddresses: readonly string[];
}

export interface StreamsPort {
  /**
   * Runs `argv` in the container with the client's streams. Returns the exit code once all output has been
   * written to the client. Rejects with `outside` when the program can't be started. When the call is aborted
   * or a stream of the client breaks, the process is killed with all that it started before this rejects.
   */
  exec(
    input: StreamExecInput,
    client: ClientStreams,
    fx: EffectContext,
  ): Promise<{ readonly exitCode: number }>;
  /**
   * Connects the client to the output and stdin of the container's own process, from now on. Ends when the
   * process ends, when the client detaches (its stdin ends without a terminal, or the call is aborted), or
   * when the client reads too slowly (`exhausted`).
   */
  attach(input: ContainerInput, client: ClientStreams, fx: EffectContext): Promise<void>;
  /**
   * Connects to the pod's loopback, 127.0.0.1 and then ::1, then to the guest's addresses. Rejects with `outside` when
   * nothing listens there.
   */
  dial(input: DialInput, fx: EffectContext): Promise<PortConnection>;
}
