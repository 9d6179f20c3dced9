/** A stand-in for crun on a machine with mixed cgroups: it hides the v2 mount from crun. See hiding-elf.ts. */
import { readFile } from 'node:fs/promises';
import { fail } from '../../../base/fault.ts';
import { missingAs } from '../../../host/ffi/errno.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import { hidingElf } from './hiding-elf.ts';
import { writeProgram } from './stand-ins.ts';

/** Where libcrun checks the cgroup mode. */
const UNIFIED = '/sys/fs/cgroup/unified';

/** Controllers on v2 beside v1, which crun calls hybrid; empty on other machines. */
export async function hybridControllers(): Promise<string> {
  // the file does not exist on pure v1 or pure v2
  return (await missingAs(readFile(`${UNIFIED}/cgroup.controllers`, 'latin1'), '')).trim();
}

/**
 * Writes the stand-in for a runtime's program and returns its path. Written atomically, since the old one may be in
 * use. Throws `unsupported` on machines other than x86-64.
 */
export async function writeStandIn(directory: string, name: string, program: string): Promise<string> {
  const attempted = `hide ${UNIFIED} from ${program}`;
  if (process.arch !== 'x64')
    fail('unsupported', `${attempted}: supported on x86-64 only, not on ${process.arch}`, {
      subject: program,
    });
  const mounts = await readMountInfo();
  const unified = mounts.findLast((mount) => mount.mountPoint === UNIFIED);
  const parent = mounts.find((mount) => mount.id === unified?.parentId);
  if (parent === undefined) return fail('outside', `${attempted}: not mounted`, { subject: program });
  return writeProgram(directory, name, hidingElf({ program, unified: UNIFIED, parent: parent.mountPoint }));
}
