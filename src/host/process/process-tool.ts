/**
 * Runs a program once with a deadline and an output cap, and kills its whole process tree when either
 * requires it.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { killTree } from './process-kill.ts';
import type { HostIdentity } from './process-identity.ts';
import { holdZombie } from './process-reaper.ts';
import type { ExitStatus } from './process-reaper.ts';
import { spawnProcess } from './process.ts';
import type { Child, ExtraFd } from './process.ts';
import type { SocketReader } from '../io/socket-reader.ts';
import { nextTurn, within } from '../clock/wait.ts';

export interface ToolRequest {
  /** argv[0] is the absolute path of the binary. */
  readonly argv: readonly string[];
  /** The whole environment; empty when absent. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** As in `SpawnRequest`. */
  readonly isHelper?: boolean;
  readonly stdin?: Uint8Array | 'null' | number;
  readonly timeoutMs: number;
  /** Bytes kept of stdout and of stderr each; further output is read and dropped. */
  readonly outputBytesMax?: number;
  /** An abort kills the process tree; the run then rejects with `cancelled`. */
  readonly signal?: AbortSignal;
  readonly extraFds?: readonly ExtraFd[];
  readonly clock: ClockPort;
  /** Receives the pid as soon as it is known, for people who want to know what a call is waiting for. */
  readonly onSpawn?: (pid: number) => void;
  /** Milliseconds to wait for the end of the output after the exit. */
  readonly drainMs?: number;
}

export interface ToolResult extends ExitStatus {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Some output was dropped: above the cap, or not read in time. */
  readonly truncated: boolean;
  readonly timedOut: boolean;
  readonly pid: number;
  readonly durationMs: number;
}

/**
 * Runs a program to its end. Resolves for every exit code and for a timeout. Rejects when it can't be
 * started, when the signal aborts (`cancelled`), and when killed processes do not end (`timedOut`, with their
 * pids).
 */
export async function runTool(request: ToolRequest): Promise<ToolResult> {
  const { clock, signal, argv } = request;
  refuseAborted(argv, signal);
  const startedMs = clock.monoMs();
  const child = await spawnProcess({
    argv,
    env: request.env ?? {},
    stdin: request.stdin ?? 'null',
    stdout: 'pipe',
    stderr: 'pipe',
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.isHelper === undefined ? {} : { isHelper: request.isHelper }),
    ...(request.extraFds === undefined ? {} : { extraFds: request.extraFds }),
  });
  const bytesMax = request.outputBytesMax ?? hostLimits.toolOutputBytes;
  const stdout = new Output(child.stdout, bytesMax);
  const stderr = new Output(child.stderr, bytesMax);
  try {
    request.onSpawn?.(child.pid);
    const { status, timedOut } = await untilExit(child, request);
    const drainMs = request.drainMs ?? hostLimits.drainMs;
    const drained = await within({ clock, timeoutMs: drainMs }, Promise.all([stdout.ended, stderr.ended]));
    if (drained === 'timedOut') await nextTurn();
    refuseAborted(argv, signal);
    return {
      ...status,
      stdout: stdout.takeBytes(),
      stderr: stderr.takeBytes(),
      truncated: stdout.isTruncated || stderr.isTruncated || drained === 'timedOut',
      timedOut,
      pid: child.pid,
      durationMs: clock.monoMs() - startedMs,
    };
  } finally {
    stdout.close();
    stderr.close();
  }
}

function refuseAborted(argv: readonly string[], signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const name = argv[0] ?? '';
  fail('cancelled', `run ${name}: the result is no longer wanted`, { subject: name });
}

async function untilExit(
  child: Child,
  request: ToolRequest,
): Promise<{ status: ExitStatus; timedOut: boolean }> {
  const { clock } = request;
  const exited = await within(request, child.exited);
  if (typeof exited === 'object') return { status: exited, timedOut: false };
  const release = holdZombie(child.pid);
  let left: HostIdentity[];
  try {
    left = await killTree(child.identity, clock);
  } finally {
    release();
  }
  const status =
    left.length > 0 ? undefined : await within({ clock, timeoutMs: hostLimits.killMs }, child.exited);
  if (typeof status === 'object') return { status, timedOut: exited === 'timedOut' };
  const name = request.argv[0] ?? '';
  const pids = left.map((member) => member.pid).join(', ');
  return fail(
    'timedOut',
    `run ${name}: timed out after ${hostLimits.killMs} ms waiting for killed processes to end: ${pids || child.pid}`,
    {
      subject: name,
    },
  );
}

/** Collects a stream up to a cap and reads on, so that the writer never blocks. */
class Output {
  /** Resolves when every holder of the pipe's write end has closed it. */
  readonly ended: Promise<void>;
  isTruncated = false;
  readonly #reader: SocketReader | undefined;
  readonly #kept: ByteBlocks;

  constructor(reader: SocketReader | undefined, bytesMax: number) {
    this.#reader = reader;
    this.#kept = new ByteBlocks("keep a program's output", bytesMax);
    this.ended = reader?.closed ?? Promise.resolve();
    reader?.start((bytes) => this.#keep(bytes));
  }

  #keep(bytes: Uint8Array): void {
    const { room } = this.#kept;
    if (bytes.length > room) this.isTruncated = true;
    this.#kept.appendCopy(bytes.length <= room ? bytes : bytes.subarray(0, room));
  }

  /** Can be called once: it frees the blocks. */
  takeBytes(): Uint8Array {
    return this.#kept.takeAll();
  }

  close(): void {
    this.#reader?.destroy();
  }
}
