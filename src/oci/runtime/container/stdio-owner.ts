/**
 * The owner of a process's stdio pipes. In a user namespace the runtime cannot chown the daemon's pipes, since their
 * owner has no id in it, and `open("/dev/stdout")` then fails: nginx, for one, does not start (containerd 10598, runc
 * 4475, crun 1019).
 */
import { chownSync, closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { ContainerId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { isProcessGone } from '../../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from '../../../host/ffi/constants.ts';
import { surelyExists } from '../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import type { PipeOwner } from '../../../host/process/process.ts';
import { readBundleConfig } from './exec-process.ts';

/**
 * The host's ids of the user and group that a config.json runs its process as; undefined without a user namespace.
 */
export function stdioOwner(configText: string): PipeOwner | undefined {
  // most containers have no user namespace: this spares parsing a large text
  if (!configText.includes('"uidMappings"')) return undefined;
  const config = jsonObject(configText);
  const [linux, user] = [recordOf(config?.['linux']), recordOf(recordOf(config?.['process'])['user'])];
  const uid = onHost(linux['uidMappings'], user['uid']);
  const gid = onHost(linux['gidMappings'], user['gid']);
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function onHost(mappings: unknown, id: unknown): number | undefined {
  if (!Array.isArray(mappings) || typeof id !== 'number') return undefined;
  for (const mapping of mappings.map(recordOf)) {
    const { containerID: first, hostID: host, size } = mapping;
    if (typeof first !== 'number' || typeof host !== 'number' || typeof size !== 'number') continue;
    if (id >= first && id < first + size) return host + id - first;
  }
  return undefined;
}

/**
 * Chowns the pipes that the monitor made to the user of a container that waits for start. Must be called before init
 * has started its program. Everything goes through one descriptor of init's /proc directory: if init has exited,
 * another process may have its pid and other pipes, but never that directory (S97).
 */
export async function chownStdio(init: HostIdentity, configPath: string, id: ContainerId): Promise<void> {
  try {
    const proc = openSync(`/proc/${init.pid}`, O_PATH | O_DIRECTORY | O_CLOEXEC);
    try {
      if (!surelyExists(init)) return;
      const directory = `/proc/self/fd/${proc}`;
      // procfs answers from memory: no disk access
      if (uidMap(directory) === uidMap('/proc/self')) return;
      const owner = stdioOwner(await readBundleConfig(configPath, id));
      if (owner !== undefined) for (const number of [0, 1, 2]) chownPipe(`${directory}/fd/${number}`, owner);
    } finally {
      closeSync(proc);
    }
  } catch (error) {
    // init has exited: its exit is reported elsewhere
    if (!isProcessGone(error)) throw error;
  }
}

function uidMap(directory: string): string {
  return readFileSync(`${directory}/uid_map`, 'latin1');
}

function chownPipe(path: string, { uid, gid }: PipeOwner): void {
  // held open: the checked file and the changed one are the same
  const fd = openSync(path, O_PATH);
  try {
    // /dev/null must keep its owner
    if (fstatSync(fd).isFIFO()) chownSync(`/proc/self/fd/${fd}`, uid, gid);
  } finally {
    closeSync(fd);
  }
}
