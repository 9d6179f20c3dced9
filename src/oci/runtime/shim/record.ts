/**
 * `<state>/sandboxes/<id>/shim.json`: how a restarted daemon finds a pod's shim. Removed with the pod; does not
 * survive a reboot.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits, shimLimits } from '../bounds.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import type { ShimAddress } from './bootstrap.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface ShimRecord extends ShimAddress {
  readonly version: typeof storedVersions.shimRecord;
  /** Name of the handler. */
  readonly handler: string;
  /** The shim's process. */
  readonly shim: HostIdentity;
  /**
   * First process of the sandbox's task: with a virtual machine, that of the hypervisor. Undefined until it was
   * started.
   */
  readonly task: HostIdentity | undefined;
}

function recordPath(layout: Layout, id: SandboxId): string {
  return join(layout.sandboxDir(id), 'shim.json');
}

/** Written atomically. */
export async function writeShimRecord(layout: Layout, id: SandboxId, record: ShimRecord): Promise<void> {
  await writeWhole(recordPath(layout, id), JSON.stringify(record), 0o600);
}

export async function removeShimRecord(layout: Layout, id: SandboxId): Promise<void> {
  await rm(recordPath(layout, id), { force: true });
}

/** The record; undefined if it is missing or incomplete. */
export async function readShimRecord(layout: Layout, id: SandboxId): Promise<ShimRecord | undefined> {
  const text = await readSmallFile(recordPath(layout, id), {
    usualBytes: driverLimits.recordBytes,
    bytesMax: driverLimits.recordBytes,
  });
  return text === undefined ? undefined : parseShimRecord(text);
}

/** Parses a record; undefined if it is invalid. */
export function parseShimRecord(text: string): ShimRecord | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const record: Partial<Record<keyof ShimRecord, unknown>> = value;
  const { version, handler, path, api } = record;
  const shim = identityIn(record.shim);
  if (
    version !== storedVersions.shimRecord ||
    typeof handler !== 'string' ||
    shim === undefined ||
    (api !== 2 && api !== 3)
  )
    return undefined;
  if (typeof path !== 'string' || path.length > shimLimits.socketPathChars || !/^[/\0]/u.test(path))
    return undefined;
  return { version: storedVersions.shimRecord, handler, path, api, shim, task: identityIn(record.task) };
}

function identityIn(value: unknown): HostIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTicks } = value as { readonly pid?: unknown; readonly startTicks?: unknown };
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTicks) || Number(pid) <= 1) return undefined;
  return { pid: Number(pid), startTicks: Number(startTicks) };
}
