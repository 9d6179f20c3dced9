/**
 * `troupe.json` beside a bundle: what later calls and recovery need to know of a container beyond the runtime's
 * files. It is written before the bundle, so that any state of the bundle can be undone.
 */
import { dirname, join } from 'node:path';
import type { BundleInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { parseSandboxId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits } from '../bounds.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { containerCgroup, guestScope, monitorCgroup } from '../../../host/sandbox/layout.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { makeOwnDirectory, writeOwnFile } from '../../../host/files/state-files.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface ContainerNote {
  readonly version: typeof storedVersions.containerRecord;
  readonly sandboxId: SandboxId;
  /** The resolved handler's name. */
  readonly handler: string;
  /** The container's own cgroup, relative to each hierarchy's root. */
  readonly cgroup: string;
  /** The cgroup of its monitor. */
  readonly monitorCgroup: string;
  /** The process whose PID namespace it joins by its pid; absent if it joins none. */
  readonly joins?: HostIdentity;
}

/** The record of a container that is to be created. */
export function noteOf(input: BundleInput, handler: string): ContainerNote {
  const joined = input.pidNamespaceOf;
  return {
    ...(joined === undefined ? {} : { joins: { pid: joined.pid, startTicks: Number(joined.startTicks) } }),
    version: storedVersions.containerRecord,
    sandboxId: input.sandboxId,
    handler,
    cgroup: containerCgroup(input.sandbox.cgroupParent, input.id),
    monitorCgroup: monitorCgroup(input.sandbox.cgroupParent, input.sandboxId, input.id),
  };
}

/** Cgroups on this machine in which a shim may have put processes of a container; of most shims none is. */
export function cgroupsOfNote({ cgroup }: ContainerNote, id: ContainerId): readonly string[] {
  const scope = scopeOf(cgroup);
  return scope === undefined ? [cgroup] : [cgroup, guestScope(dirname(scope), id)];
}

function notePath(layout: Layout, id: ContainerId): string {
  return join(layout.containerDir(id), 'troupe.json');
}

/** Makes the container's directory and writes the record. Not synced: it does not survive a reboot. */
export async function writeNote(layout: Layout, id: ContainerId, note: ContainerNote): Promise<void> {
  await makeOwnDirectory(layout.containerDir(id), 0o700);
  // written in place: an incomplete record is ignored (parseNote)
  await writeOwnFile(notePath(layout, id), JSON.stringify(note), 0o600);
}

/** The record; undefined if it is missing or incomplete. */
export async function readNote(layout: Layout, id: ContainerId): Promise<ContainerNote | undefined> {
  const text = await readSmallFile(notePath(layout, id), {
    usualBytes: driverLimits.recordUsualBytes,
    bytesMax: driverLimits.recordBytes,
  });
  return text === undefined ? undefined : parseNote(text);
}

/** Parses a record; undefined if it is invalid. */
export function parseNote(text: string): ContainerNote | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const note: Partial<Record<keyof ContainerNote, unknown>> = value;
  const { handler, cgroup, monitorCgroup: monitors } = note;
  const sandboxId = typeof note.sandboxId === 'string' ? parseSandboxId(note.sandboxId) : undefined;
  if (
    note.version !== storedVersions.containerRecord ||
    sandboxId === undefined ||
    typeof handler !== 'string'
  )
    return undefined;
  if (!isCgroup(cgroup) || !isCgroup(monitors)) return undefined;
  const joins = identityIn(note.joins);
  return {
    version: storedVersions.containerRecord,
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

/** Accepts only a cgroup made by troupe: others must be neither killed nor removed. */
function isCgroup(value: unknown): value is string {
  if (typeof value !== 'string' || value.split('/').includes('..')) return false;
  return /^\/(?:[^/\0]+\/)*(?:troupe-[0-9a-f]{64}\.scope\/(?:container|monitor)|troupe-[0-9a-f]{64}|troupe-sandbox-[0-9a-f]{64}\/monitors)$/u.test(
    value,
  );
}
