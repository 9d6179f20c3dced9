/** On a mixed cgroup machine: a stand-in for crun that hides the v2 mount from it. See hiding-elf.ts. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../../base/fault.ts';
import { missingAs } from '../../../host/ffi/errno.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { hidingElf } from './hiding-elf.ts';

/** Where crun looks for it (libcrun's cgroup mode). */
const UNIFIED = '/sys/fs/cgroup/unified';

/** Controllers on version 2 beside version 1, which crun calls hybrid; empty when the machine is not so. */
export async function hybridControllers(): Promise<string> {
  // not there on pure version 1 and on pure version 2
  return (await missingAs(readFile(`${UNIFIED}/cgroup.controllers`, 'latin1'), '')).trim();
}

/**
 * Writes the stand-in for a runtime's program and gives its path; whole or not at all, since one that is in use stays.
 * Throws `unsupported` on other machines than x86-64.
 */
export async function writeStandIn(directory: string, name: string, program: string): Promise<string> {
  const attempted = `hide ${UNIFIED} from ${program}`;
  if (process.arch !== 'x64')
    fail('unsupported', `${attempted}: done on x86-64 only, this is ${process.arch}`, { subject: program });
  const mounts = await readMountInfo();
  const unified = mounts.findLast((mount) => mount.mountPoint === UNIFIED);
  const parent = mounts.find((mount) => mount.id === unified?.parentId);
  if (parent === undefined) return fail('outside', `${attempted}: it is not mounted`, { subject: program });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, name);
  await writeWhole(path, hidingElf({ program, unified: UNIFIED, parent: parent.mountPoint }), 0o700);
  return path;
}
