// What the machine, or any machine without the public registries, lacks for a spec: such are left out, and reported
// with the reason.
import { access, readFile } from 'node:fs/promises';
import { run } from '../../support/run.ts';

/** Specs, by their names, that can't be run. */
export interface Missing {
  readonly specs: RegExp;
  readonly reason: string;
}

/**
 * Specs whose image can't be made from Debian's parts and Kubernetes' own programs; and those of a CRIU, which the
 * instance is not given.
 */
const NEVER: readonly Missing[] = [
  { specs: /\[sig-node\] LSCIQuota/, reason: 'needs the image perl' },
  { specs: /Node Performance Testing/, reason: 'needs the images node-perf' },
  {
    specs: /SRIOV|\[Feature:DevicePlugin\]|\[Feature:DeviceManager\]/,
    reason: 'needs the image sample-device-plugin',
  },
  { specs: /NodeProblemDetector/, reason: 'needs the image node-problem-detector' },
  {
    specs: /read only busybox container should not write to root filesystem/,
    reason:
      "compares the words of busybox's shell: the one in our image is bash, for the sake of variables with names like data-1",
  },
  { specs: /\[Feature:ImageID\]/, reason: 'needs an image by a digest that only the public registry has' },
  {
    specs: /CheckpointContainer/,
    reason: 'needs a CRIU that works with this kernel, named in the configuration',
  },
  { specs: /NFS/, reason: 'needs the image volume/nfs and NFS in the kernel' },
];

interface KernelPart extends Missing {
  /** In namespaces of the run. */
  readonly isThere: () => Promise<boolean>;
}

/** Bit of CAP_SYS_RESOURCE (capabilities(7)). */
const SYS_RESOURCE = 24n;

const KERNEL: readonly KernelPart[] = [
  {
    specs: /InPlace Resize.*guaranteed/,
    reason: 'needs CAP_SYS_RESOURCE: guaranteed pods have an oom_score_adj of -997',
    isThere: async () => {
      const mask = /^CapBnd:\s+([0-9a-f]+)/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? '0';
      return (BigInt(`0x${mask}`) & (1n << SYS_RESOURCE)) !== 0n;
    },
  },
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
    isThere: async () =>
      await access('/sys/fs/cgroup/cgroup.controllers').then(
        () => true,
        () => false,
      ),
  },
];

/** All that is missing here. */
export async function missing(): Promise<Missing[]> {
  const found: Missing[] = [...NEVER];
  for (const { specs, reason, isThere } of KERNEL) if (!(await isThere())) found.push({ specs, reason });
  return found;
}
