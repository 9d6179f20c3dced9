/** Addresses that host-local has leased in a directory that is this instance's alone. */
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxId } from '../base/ids.ts';
import { parseSandboxId } from '../base/ids.ts';
import { networkLimits } from './bounds.ts';
import { isAbsent } from '../host/ffi/errno.ts';
import { namesIfDirectory } from '../host/files/names-of.ts';
import { readSmallFile } from '../host/files/small-file.ts';

/** Names of lease files; the plugin has a lock and its last choice beside them. */
const ADDRESS = /^[0-9a-f.:]*[.:][0-9a-f.:]*$/u;

/**
 * Deletes the leases in `directory`, of all networks, that belong to no attachment. An attachment is stored before its
 * ADD runs and deleted after its DEL has succeeded, so without one nobody has the address. The plugin syncs nothing
 * (host-local up to 1.9): after a power loss a deleted lease may be back, and one may be empty, which no DEL finds.
 * An empty lease of an ADD that a killed daemon left behind goes as well: that sandbox gets a DEL. Call it only at the
 * start, before the first ADD.
 * @returns paths of the deleted files
 */
export async function dropStaleLeases(
  directory: string,
  attached: readonly SandboxId[],
): Promise<readonly string[]> {
  const valid = new Set<SandboxId>(attached);
  const dropped: string[] = [];
  for (const network of await namesIfDirectory(directory)) {
    const leases = join(directory, network);
    for (const name of (await namesIfDirectory(leases)).filter((one) => ADDRESS.test(one))) {
      const path = join(leases, name);
      const bounds = { usualBytes: networkLimits.leaseBytes, bytesMax: networkLimits.leaseBytes };
      const [first = ''] = ((await readSmallFile(path, bounds)) ?? '').split('\n', 1);
      const id = parseSandboxId(first.trim());
      if (id !== undefined && valid.has(id)) continue;
      await unlink(path).catch((error: unknown) => {
        if (!isAbsent(error)) throw error;
      });
      dropped.push(path);
    }
  }
  return dropped;
}

/** Whether pods have addresses of that network. */
export async function hasLeases(directory: string, network: string): Promise<boolean> {
  return (await namesIfDirectory(join(directory, network))).some((name) => ADDRESS.test(name));
}
