/**
 * `troupe.json` beside a bundle: what later calls and recovery need to know of a container and can't be told from
 * the runtime's files. Written before the bundle, so that whatever is there can be undone with it.
 */
import { join } from 'node:path';
import type { BundleInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { parseSandboxId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits } from '../bounds.ts';
import { containerCgroup, monitorCgroup } from '../../../host/sandbox/layout.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { makeOwnDirectory, writeOwnFile } from '../../../host/files/state-files.ts';
import type { ProcessIdentity as HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';

export interface ContainerNote {
  readonly version: 1;
  readonly sandboxId: SandboxId;
  /** The resolved handler's name. */
  readonly handler: string;
  /** The container's own cgroup, relative to each hierarchy's root. */
  readonly cgroup: string;
  /** Where its monitor lives. */
  readonly monitorCgroup: string;
  /** Whose PID namespace it joins, by the path of its pid; left out for none. */
  readonly joins?: HostIdentity;
}

/** The note of a container to be. */
export function noteOf(input: BundleInput, handler: string): ContainerNote {
  const joined = input.pidNamespaceOf;
  return {
    ...(joined === undefined ? {} : { joins: { pid: joined.pid, startTicks: Number(joined.startTicks) } }),
    version: 1,
    sandboxId: input.sandboxId,
    handler,
    cgroup: containerCgroup(input.sandbox.cgroupParent, input.id),
    monitorCgroup: monitorCgroup(input.sandbox.cgroupParent, input.sandboxId, input.id),
  };
}

function notePath(layout: Layout, id: ContainerId): string {
  return join(layout.containerDir(id), 'troupe.json');
}

/** Makes the container's directory and writes the note. Not synced: it is gone after a reboot anyway. */
export async function writeNote(layout: Layout, id: ContainerId, note: ContainerNote): Promise<void> {
  await makeOwnDirectory(layout.containerDir(id), 0o700);
  // in place: a note that is not whole is none (parseNote)
  await writeOwnFile(notePath(layout, id), JSON.stringify(note), 0o600);
}

/** The note, or undefined when there is none or it is not whole. */
export async function readNote(layout: Layout, id: ContainerId): Promise<ContainerNote | undefined> {
  const text = await readSmallFile(notePath(layout, id), {
    usualBytes: driverLimits.recordUsualBytes,
    bytesMax: driverLimits.recordBytes,
  });
  return text === undefined ? undefined : parseNote(text);
}

/** The note in a text, or undefined. */
export function parseNote(text: string): ContainerNote | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const note: Partial<Record<keyof ContainerNote, unknown>> = value;
  const { handler, cgroup, monitorCgroup: monitors } = note;
  const sandboxId = typeof note.sandboxId === 'string' ? parseSandboxId(note.sandboxId) : undefined;
  if (note.version !== 1 || sandboxId === undefined || typeof handler !== 'string') return undefined;
  if (!isCgroup(cgroup) || !isCgroup(monitors)) return undefined;
  const joins = identityIn(note.joins);
  return {
    version: 1,
    sandboxId,
    handler,
    cgroup,
    monitorCgroup: monitors,
    ...(joins === undefined ? {} : { joins }),
  };
}

function identityIn(value: unknown): HostIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTicks } = value as Partial<Record<keyof HostIdentity, unknown>>;
  return Number.isSafeInteger(pid) && Number.isSafeInteger(startTicks)
    ? { pid: Number(pid), startTicks: Number(startTicks) }
    : undefined;
}

/** A cgroup of ours: the kill and the removal of another one would hit what is not ours. */
function isCgroup(value: unknown): value is string {
  if (typeof value !== 'string' || value.split('/').includes('..')) return false;
  return /^\/(?:[^/\0]+\/)*(?:troupe-[0-9a-f]{64}\.scope\/(?:container|monitor)|troupe-[0-9a-f]{64}|troupe-sandbox-[0-9a-f]{64}\/monitors)$/u.test(
    value,
  );
}
