// What the machine, or any machine without the public registries, lacks for a spec: such are left out, and told with the reason.
import { access } from 'node:fs/promises';
import { run } from '../../support/run.ts';

/** Specs, by their names, that can't be run. */
export interface Missing {
  readonly specs: RegExp;
  readonly reason: string;
}

/** Specs whose image can't be made of Debian's parts and Kubernetes' own programs. */
const IMAGES: readonly Missing[] = [
  { specs: /\[sig-node\] LSCIQuota/, reason: 'needs the image perl' },
  { specs: /Node Performance Testing/, reason: 'needs the images node-perf' },
  { specs: /SRIOV|Device Plugin|Device Manager/i, reason: 'needs the image sample-device-plugin' },
  { specs: /NodeProblemDetector/, reason: 'needs the image node-problem-detector' },
  { specs: /read only busybox container should not write to root filesystem/, reason: 'compares the words of busybox\'s shell: the one in our image is bash, for the sake of variables with names like data-1' },
  { specs: /NFS/, reason: 'needs the image volume/nfs and NFS in the kernel' },
];

interface KernelPart extends Missing {
  /** In namespaces of the run. */
  readonly isThere: () => Promise<boolean>;
}

const KERNEL: readonly KernelPart[] = [
  {
    specs: /PrivilegedPod/,
    reason: 'needs dummy network links in the kernel (CONFIG_DUMMY)',
    isThere: async () => {
      const isMade = (await run(['ip', 'link', 'add', 'probe0', 'type', 'dummy'])).code === 0;
      if (isMade) await run(['ip', 'link', 'delete', 'probe0']);
      return isMade;
    },
  },
  {
    specs: /Summary API .*when querying \/stats\/summary/,
    reason: 'needs pressure stall information in cgroups (version 2)',
    isThere: async () => await access('/sys/fs/cgroup/cgroup.controllers').then(() => true, () => false),
  },
];

/** All that is missing here. */
export async function missing(): Promise<Missing[]> {
  const found: Missing[] = [...IMAGES];
  for (const { specs, reason, isThere } of KERNEL) if (!(await isThere())) found.push({ specs, reason });
  return found;
}
