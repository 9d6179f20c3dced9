/** SELinux labels in bundles: asked of the policy first, and put on the volumes that the request names. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerSpec, SelinuxLabels } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { mountOver } from '../../../host/mounts/answering.ts';
import type { MountInfo } from '../../../host/mounts/mountinfo.ts';
import { isValidLabel, relabel } from '../../../host/security/selinux.ts';

/** The type that is free of all rules: for its processes nothing has to be labelled (container-selinux). */
const FREE_TYPE = 'spc_t';

/** Throws `invalidRequest` for a label that the loaded policy does not have: the process could not be started under it. */
export async function checkLabels(labels: SelinuxLabels | undefined): Promise<void> {
  for (const label of labels === undefined ? [] : [labels.process, labels.mount]) {
    if (await isValidLabel(label)) continue;
    fail('invalidRequest', `use SELinux label ${label}: the policy of this machine has no such label`, {
      subject: 'linux.security_context.selinux_options',
    });
  }
}

/** What labels a volume for this container; undefined where nothing is to be labelled. */
export function relabelOf(
  { selinuxLabels: labels }: Pick<ContainerSpec, 'selinuxLabels'>,
  mounts: readonly MountInfo[],
  fx: EffectContext,
): ((path: string) => Promise<void>) | undefined {
  if (labels === undefined || labels.process.split(':')[2] === FREE_TYPE) return undefined;
  return (path) => relabel(path, labels.mount, fx.signal, mountOver(path, mounts)?.mountPoint ?? '/');
}

/** The pause program is shared by all pods: its label has no categories, which every pod's level dominates. */
export async function labelPause(rootfs: string, labels: SelinuxLabels | undefined): Promise<void> {
  if (labels === undefined) return;
  const [user, role, type, sensitivity] = labels.mount.split(':');
  await relabel(rootfs, [user, role, type, sensitivity].join(':'), new AbortController().signal, rootfs);
}
