/**
 * State of runtimes that store it in a form of their own, neither libcontainer's nor crun's. What their `state`
 * command reports is recorded in `<root>/<id>.troupe`, so that later calls and a restarted daemon know init without
 * starting a process.
 */
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { SandboxOrContainerId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { removeFile } from '../../../host/files/state-files.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { liveIdentity, ownGlobals } from './parts.ts';
import type { DriverParts } from './parts.ts';
import type { Handler } from '../handlers/handlers.ts';
import { stateArgv } from './runc.ts';
import type { RuntimeState } from './runc.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface NotedState extends RuntimeState {
  readonly started: boolean;
}

function notePath(root: string, id: string): string {
  return join(root, `${id}.troupe`);
}

/** The record; undefined if it is missing or incomplete. */
export async function readNotedState(root: string, id: string): Promise<NotedState | undefined> {
  const text = await readSmallFile(notePath(root, id), {
    usualBytes: driverLimits.recordUsualBytes,
    bytesMax: driverLimits.recordBytes,
  });
  return text === undefined ? undefined : parseNotedState(text);
}

/** Parses a record; undefined if it is invalid. */
export function parseNotedState(text: string): NotedState | undefined {
  const { version = 1, pid, startTicks, started } = jsonObject(text) ?? {};
  if (version !== storedVersions.foreignState) return undefined;
  if (!isPid(pid) || !Number.isSafeInteger(startTicks) || typeof started !== 'boolean') return undefined;
  return { pid, startTicks: Number(startTicks), started };
}

export async function dropNotedState(root: string, id: string): Promise<void> {
  await removeFile(notePath(root, id));
}

/** Does nothing without a record. */
export async function noteStarted(root: string, id: string): Promise<void> {
  const noted = await readNotedState(root, id);
  if (noted !== undefined) await writeNote(root, id, { ...noted, started: true });
}

async function writeNote(root: string, id: string, state: NotedState): Promise<void> {
  await writeWhole(
    notePath(root, id),
    JSON.stringify({ version: storedVersions.foreignState, ...state }),
    0o600,
  );
}

/** Asks the runtime for init's pid and records it. Undefined when the runtime reports no live process of this id. */
export async function learnState(
  parts: DriverParts,
  handler: Handler,
  id: SandboxOrContainerId,
  fx: EffectContext,
): Promise<RuntimeState | undefined> {
  const argv = stateArgv({ path: handler.path, globals: ownGlobals(handler), id });
  fx.note({ on: `${handler.name} state`, argv });
  const result = await runTool({
    argv,
    env: { PATH: parts.toolPath },
    timeoutMs: Math.min(fx.timeoutMs, driverLimits.probeMs),
    signal: fx.signal,
    clock: parts.clock,
    outputBytesMax: monitorLimits.reportBytes,
  });
  const state = result.exitCode === 0 ? jsonObject(Buffer.from(result.stdout).toString('utf8')) : undefined;
  if (state?.['id'] !== id || !isPid(state['pid'])) return undefined;
  const identity = await liveIdentity(parts, state['pid']);
  if (identity !== undefined)
    await writeNote(handler.root, id, { ...identity, started: state['status'] === 'running' });
  return identity;
}

function isPid(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 1;
}
