/** SELinux labels of bundles: checked against the policy, and set on the volumes for which the request asks. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerSpec, SelinuxLabels } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import type { MountPlaces } from '../../../host/mounts/mount-places.ts';
import { isValidLabel, relabel } from '../../../host/security/selinux.ts';

/** The unconfined container type: its processes may access files with any label (container-selinux). */
const FREE_TYPE = 'spc_t';

/**
 * Throws `invalidRequest` for a label that the loaded policy does not accept, since no process could be started with
 * it.
 */
export async function checkLabels(labels: SelinuxLabels | undefined): Promise<void> {
  for (const label of labels === undefined ? [] : [labels.process, labels.mount]) {
    if (await isValidLabel(label)) continue;
    fail('invalidRequest', `use SELinux label ${label}: the policy of this machine has no such label`, {
      subject: 'linux.security_context.selinux_options',
    });
  }
}

/** The function that labels a volume for this container; undefined if no label is needed. */
export function relabelOf(
  { selinuxLabels: labels }: Pick<ContainerSpec, 'selinuxLabels'>,
  mounts: MountPlaces,
  fx: EffectContext,
): ((path: string) => Promise<void>) | undefined {
  if (labels === undefined || labels.process.split(':')[2] === FREE_TYPE) return undefined;
  return (path) => relabel(path, labels.mount, fx.signal, mounts.over(path)?.mountPoint ?? '/');
}

/**
 * Labels the root file system of the pause program, which all pods share. The label has no categories, so every pod's
 * level dominates it.
 */
export async function labelPause(rootfs: string, labels: SelinuxLabels | undefined): Promise<void> {
  if (labels === undefined) return;
  const [user, role, type, sensitivity] = labels.mount.split(':');
  await relabel(rootfs, [user, role, type, sensitivity].join(':'), new AbortController().signal, rootfs);
}
