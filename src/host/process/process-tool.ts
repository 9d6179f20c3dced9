/**
 * Runs a program once with a deadline and an output cap, and kills its whole process tree when either
 * requires it.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { LateOutput } from '../io/late-output.ts';
import { killTree } from './process-kill.ts';
import type { ProcessMark } from './process-identity.ts';
import { holdZombie } from './process-reaper.ts';
import type { ExitStatus } from './process-reaper.ts';
import { spawnWithPipes } from './process.ts';
import type { ExtraFd, Spawned } from './process.ts';
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
  const child = await spawnWithPipes({
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
  const stdout = new LateOutput(child.stdout, bytesMax, clock);
  const stderr = new LateOutput(child.stderr, bytesMax, clock);
  const outputs = [stdout, stderr];
  try {
    request.onSpawn?.(child.pid);
    const { status, timedOut } = await untilExit(child, request);
    for (const one of outputs) one.readRest();
    const cut = outputs.every((one) => one.hasEnded) ? false : await isCut(outputs, request);
    refuseAborted(argv, signal);
    return {
      ...status,
      stdout: stdout.takeBytes(),
      stderr: stderr.takeBytes(),
      truncated: stdout.isTruncated || stderr.isTruncated || cut,
      timedOut,
      pid: child.pid,
      durationMs: clock.monoMs() - startedMs,
    };
  } finally {
    for (const one of outputs) one.close();
  }
}

/** Waits for the end of the output, which a grandchild may hold open; true when it did not come in time. */
async function isCut(outputs: readonly LateOutput[], { clock, drainMs }: ToolRequest): Promise<boolean> {
  const ended = Promise.all(outputs.map((one) => one.ended));
  const drained = await within({ clock, timeoutMs: drainMs ?? hostLimits.drainMs }, ended);
  if (drained === 'timedOut') await nextTurn();
  return drained === 'timedOut';
}

function refuseAborted(argv: readonly string[], signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const name = argv[0] ?? '';
  fail('cancelled', `run ${name}: the result is no longer wanted`, { subject: name });
}

async function untilExit(
  child: Spawned,
  request: ToolRequest,
): Promise<{ status: ExitStatus; timedOut: boolean }> {
  const { clock } = request;
  const exited = await within(request, child.exited);
  if (typeof exited === 'object') return { status: exited, timedOut: false };
  const release = holdZombie(child.pid);
  let left: ProcessMark[];
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
