/**
 * The pause process of a shared PID namespace: a container of the runtime without a monitor, since its output and
 * exit code are not needed.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ProcessIdentity } from '../../../ports/journal.ts';
import type { PauseInput } from '../../../ports/runtime.ts';
import type { SandboxSpec } from '../../../ports/specs.ts';
import type { SandboxId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { monitorLimits } from '../bounds.ts';
import { pauseCgroup } from '../../../host/sandbox/layout.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { holdZombie } from '../../../host/process/process-reaper.ts';
import { spawnProcess } from '../../../host/process/process.ts';
import { within } from '../../../host/clock/wait.ts';
import { dropCgroup } from './cgroup.ts';
import { purgeState, removeUnmountedTree } from './destroy.ts';
import { endProcess, killWorkers } from './kill.ts';
import { toPortIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import {
  awaitsStart,
  dropRuntimeState,
  exists,
  hasRuntimeState,
  readRuntimeState,
  readTail,
} from './state.ts';
import { PAUSE_SUFFIX } from '../handlers/handlers.ts';
import { learnState, readNotedState } from './foreign-state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { createArgv, driverArgs, globalArgs, lastError, noPivotArgs, startArgv } from './runc.ts';

/** The sandbox's handler, with the state directory of its pause containers. */
function pauseHandler(parts: DriverParts, sandbox: SandboxSpec): Handler {
  const handler = parts.table.resolve(sandbox.runtime?.name ?? sandbox.handler);
  return { ...handler, root: parts.layout.runtimeRoot(`${handler.name}${PAUSE_SUFFIX}`) };
}

/** Creates and starts the pause process; keeps one that is already running. On failure nothing is left. */
export async function startPause(
  parts: DriverParts,
  input: PauseInput,
  fx: EffectContext,
): Promise<ProcessIdentity> {
  const { layout } = parts;
  const { id } = input;
  const handler = pauseHandler(parts, input.sandbox);
  const running = await runningPause(handler, id);
  if (running !== undefined) return running;
  await destroyPause(parts, input, fx);
  try {
    await mkdir(handler.root, { recursive: true, mode: 0o700 });
    await parts.bundles.writePauseBundle(input, fx);
    const call = {
      path: handler.path,
      globals: globalArgs(handler.root, logOf(parts, id), handler.options),
      id,
    };
    const toCreate = {
      ...call,
      globals: [...call.globals, ...driverArgs(pauseCgroup(input.sandbox.cgroupParent, id))],
    };
    await runQuietly(parts, {
      argv: createArgv(toCreate, layout.pauseBundleDir(id), layout.pausePidFile(id), noPivotArgs(handler)),
      verb: 'create',
      handler,
      id,
      fx,
    });
    await runQuietly(parts, { argv: startArgv(call), verb: 'start', handler, id, fx });
    if ((await readRuntimeState(handler.root, id)) === undefined) await learnState(parts, handler, id, fx);
    const started = await runningPause(handler, id);
    return (
      started ??
      fail('outside', `start the pause process of sandbox ${id}: the process exited at once`, { subject: id })
    );
  } catch (error) {
    await destroyPause(parts, input, fx);
    throw error;
  }
}

/** Kills the pause process and removes its files. */
export async function destroyPause(parts: DriverParts, input: PauseInput, fx: EffectContext): Promise<void> {
  const { layout } = parts;
  const { id } = input;
  const handler = pauseHandler(parts, input.sandbox);
  const bundleDir = layout.pauseBundleDir(id);
  if (!(await exists(bundleDir)) && !(await hasRuntimeState(handler.root, id))) return;
  fx.note({ on: 'the end of the pause process' });
  const state = await readRuntimeState(handler.root, id);
  // state that is missing or incomplete, or still before start: an interrupted runtime call may still be running
  if (state === undefined || (await awaitsStart(handler.root, id)))
    await killWorkers(parts, handler, id, undefined);
  const init = (await readRuntimeState(handler.root, id)) ?? state;
  if (init !== undefined && processExists(init)) {
    fx.note({ on: 'the end of the pause process', pid: init.pid });
    await endProcess(parts, id, init);
  }
  await dropCgroup(parts, id, pauseCgroup(input.sandbox.cgroupParent, id), fx);
  // state in a runtime's own form: only the runtime can remove it
  if ((await readNotedState(handler.root, id)) !== undefined) await purgeState(parts, handler, id, fx);
  // removed without the runtime: its process and cgroup are gone, so the directory is all that is left
  await dropRuntimeState(handler.root, id);
  await rm(layout.pausePidFile(id), { force: true });
  await removeUnmountedTree(bundleDir, id);
}

async function runningPause(handler: Handler, id: SandboxId): Promise<ProcessIdentity | undefined> {
  const state = await readRuntimeState(handler.root, id);
  if (state === undefined || !processExists(state) || (await awaitsStart(handler.root, id))) return undefined;
  return toPortIdentity(state);
}

function logOf(parts: DriverParts, id: SandboxId): string {
  return join(parts.layout.pauseBundleDir(id), 'runtime.log');
}

interface QuietRun {
  readonly argv: readonly string[];
  readonly verb: string;
  readonly handler: Handler;
  readonly id: SandboxId;
  readonly fx: EffectContext;
}

/**
 * Runs the runtime with /dev/null for stdio. The pause process inherits the runtime's stdio, so a pipe would never
 * close.
 */
async function runQuietly(parts: DriverParts, run: QuietRun): Promise<void> {
  const { clock, toolPath } = parts;
  const { fx, id, argv } = run;
  const stage = `start the pause process of sandbox ${id}: ${run.handler.name} ${run.verb}`;
  const child = await spawnProcess({ argv, env: { PATH: toolPath } });
  fx.note({ on: `${run.handler.name} ${run.verb} pause`, argv, pid: child.pid });
  const status = await within({ clock, timeoutMs: fx.timeoutMs, signal: fx.signal }, child.exited);
  if (status === 'timedOut' || status === 'cancelled') {
    const release = holdZombie(child.pid);
    await killTree(child.identity, clock);
    release();
    const reason = status === 'timedOut' ? `killed after a timeout of ${fx.timeoutMs} ms` : 'cancelled';
    return fail(status, `${stage}: ${reason}`, { subject: id });
  }
  if (status.exitCode === 0) return undefined;
  const said = lastError(await readTail(logOf(parts, id), monitorLimits.logTailBytes)) || 'no error message';
  const how = status.exitCode === null ? `signal ${status.signal}` : `exit code ${status.exitCode}`;
  return fail('outside', `${stage}: ${how}: ${said}`, { subject: id, quotesOutput: true });
}
