/** The streams of a container in a shim: FIFOs, and a conmon that copies them to the log and the attach socket. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { poll } from '../../../host/clock/wait.ts';
import { createMonitorArgv, monitorEnv } from '../monitor/conmon.ts';
import { launchMonitor } from '../monitor/launch.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { parseCreateReport } from '../monitor/sync-pipe.ts';
import { admitMonitor } from '../container/cgroup.ts';
import { marksOf } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import type { ContainerNote } from '../container/record.ts';
import type { Handler } from '../handlers/handlers.ts';
import { rootArg } from '../container/runc.ts';
import { makeFifo } from './fifo.ts';

/** Paths for the shim's Create and Exec; empty for a stream that is not used. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StdioOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  /** Unused with a terminal, which has one output. */
  readonly stderr: boolean;
}

/** Makes the FIFOs and their directory. */
export async function makeStdio(directory: string, stdio: StdioOptions): Promise<StdioPaths> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const fifo = (name: string, isWanted: boolean): string => {
    if (!isWanted) return '';
    const path = join(directory, name);
    makeFifo(path);
    return path;
  };
  return {
    stdin: fifo('in', stdio.stdin),
    stdout: fifo('out', stdio.stdout),
    stderr: fifo('err', stdio.stderr),
  };
}

/** Directory of a container's FIFOs, where the program that conmon runs expects them. */
export function stdioDir(parts: DriverParts, id: ContainerId): string {
  return join(parts.layout.containerDir(id), 'io');
}

export interface KeeperRequest {
  readonly input: ContainerInput & { readonly effective: EffectiveContainer };
  readonly handler: Handler;
  readonly note: ContainerNote;
  /** Path of the program of `writeStdioProgram`. */
  readonly program: string;
}

/**
 * Starts the monitor, which opens the FIFOs and waits for the shim to open them. Throws `outside` with its error
 * output.
 */
export async function startKeeper(
  parts: DriverParts,
  { input, handler, note, program }: KeeperRequest,
  fx: EffectContext,
): Promise<void> {
  const { layout, clock } = parts;
  const { id, spec, effective } = input;
  const attempted = `create container ${id}: monitor of its streams`;
  const directory = stdioDir(parts, id);
  // conmon writes an exit file for the copying process, which is not the container's
  const exitsDir = join(directory, 'exits');
  await mkdir(exitsDir, { recursive: true, mode: 0o700 });
  const argv = createMonitorArgv({
    monitorPath: handler.monitorPath ?? parts.monitorPath,
    runtimePath: program,
    runtimeArgs: [rootArg(handler.root)],
    id,
    bundleDir: layout.bundleDir(id),
    pidFile: layout.pidFile(id),
    monitorPidFile: layout.monitorPidFile(id),
    exitsDir,
    logPath: effective.logPath,
    // the terminal is the shim's: bytes in the FIFO have already passed it
    tty: false,
    stdin: spec.stdin,
    stdinOnce: spec.stdinOnce,
  });
  fx.note({ on: 'the monitor of the streams', argv });
  const launched = await launchMonitor({
    argv,
    env: monitorEnv(parts.toolPath, true),
    cwd: directory,
    beforeStart: (pid) => admitMonitor(parts, note.monitorCgroup, pid, effective.limits ?? spec.resources),
    clock,
  });
  try {
    const answer = await launched.sync.next({ clock, timeoutMs: fx.timeoutMs, signal: fx.signal });
    if (answer === 'cancelled')
      fail('cancelled', `${attempted}: cancelled while waiting for the monitor`, { subject: id });
    if (answer === 'timedOut')
      fail('timedOut', `${attempted}: timed out after ${fx.timeoutMs} ms waiting for the monitor`, {
        subject: id,
      });
    const report = answer === 'ended' ? undefined : parseCreateReport(answer.line);
    if (report?.kind !== 'value')
      fail('outside', `${attempted}: ${launched.stderr.text() || 'the monitor did not start'}`, {
        subject: id,
        quotesOutput: true,
      });
  } finally {
    launched.sync.close();
    launched.stderr.close();
  }
}

/**
 * Waits until all output of the container is in its log, at most `shimLimits.flushMs`. The shim has closed the FIFOs
 * before.
 */
export async function untilFlushed(parts: DriverParts, handler: Handler, id: ContainerId): Promise<void> {
  const { layout, clock } = parts;
  const pollMs = shimLimits.flushPollMs;
  await poll(
    {
      clock,
      timeoutMs: shimLimits.flushMs,
      firstMs: pollMs,
      lastMs: pollMs,
      attempted: `wait for the log of container ${id}`,
    },
    async () =>
      (await monitorIdentity(layout.monitorPidFile(id), marksOf(handler, id), clock)) === undefined
        ? true
        : undefined,
  );
}
