/** The `resources` of the document: cgroup limits and device rules. */
import type { Resources } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import { portLimits } from '../../../ports/bounds.ts';
import type { ResolvedDevice, SpecHost, SpecInput } from './input.ts';
import type { OciDevice, OciDeviceRule, OciLimits, OciResources } from './types.ts';

/** Limits and device rules of a container. Throws `invalidRequest` with the field's name. */
export function resourcesOf(input: SpecInput): OciResources {
  const { resources, security } = input.spec;
  // A new cgroup has no quota. If it is set all the same, crun 1.8 writes -1 as an unsigned number, which cgroup v1
  // refuses.
  const asked = resources.cpuQuota === -1n ? { ...resources, cpuQuota: undefined } : resources;
  return {
    devices: deviceRules(
      input.devices,
      security.privileged && input.handler.privilegedWithoutHostDevices !== true,
    ),
    ...limitsOf(asked, input.host),
  };
}

/** The requested limits that this node supports. Throws `invalidRequest` with the field's name. */
export function limitsOf(resources: Resources, host: SpecHost): OciLimits {
  const memory = memoryOf(resources, host);
  const cpu = cpuOf(resources);
  const hugepages = resources.hugepageLimits.filter(({ pageSize }) => host.hugepageSizes.includes(pageSize));
  return {
    ...(memory === undefined ? {} : { memory }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(hugepages.length === 0
      ? {}
      : { hugepageLimits: hugepages.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })) }),
    ...unifiedOf(resources, host),
  };
}

/**
 * The requested limits that this node does not support, one sentence each, which the caller logs. They are not
 * refused: the kubelet sends hugepage limits with every container, so a node without hugetlb could start none.
 */
export function resourceConditions(resources: Resources, host: SpecHost): readonly string[] {
  const conditions = resources.hugepageLimits
    .filter(({ pageSize }) => !host.hugepageSizes.includes(pageSize))
    .map(
      ({ pageSize }) =>
        `hugepage limit for ${pageSize} dropped: no usable hugetlb controller for that size on this node`,
    );
  if (resources.memorySwapLimitBytes !== undefined && !host.swapLimits) {
    conditions.push('memory_swap_limit_in_bytes dropped: swap cannot be limited on this node');
  }
  if (!host.oomScoreAdjCanSink && resources.oomScoreAdj < host.oomScoreAdj) {
    conditions.push(
      `oom_score_adj ${resources.oomScoreAdj} raised to ${host.oomScoreAdj}: no CAP_SYS_RESOURCE on this node`,
    );
  }
  return conditions;
}

function memoryOf(resources: Resources, host: SpecHost): OciResources['memory'] {
  const { memoryLimitBytes: limit, memorySwapLimitBytes: swap } = resources;
  if (limit !== undefined && limit > 0n && limit < BigInt(specLimits.memoryMinBytes)) {
    fail(
      'invalidRequest',
      `limit memory to ${limit} bytes: less than the minimum of ${specLimits.memoryMinBytes}`,
      {
        subject: 'linux.resources.memory_limit_in_bytes',
      },
    );
  }
  if (swap !== undefined && swap >= 0n && limit !== undefined && swap < limit) {
    fail('invalidRequest', `limit memory and swap to ${swap} bytes: less than the memory limit of ${limit}`, {
      subject: 'linux.resources.memory_swap_limit_in_bytes',
    });
  }
  if (swap !== undefined && swap >= 0n && limit === undefined) {
    // the kernel refuses memsw below an unlimited memory limit; on v2 the runtime cannot subtract
    fail('invalidRequest', `limit memory and swap to ${swap} bytes: no memory limit is set`, {
      subject: 'linux.resources.memory_swap_limit_in_bytes',
    });
  }
  // without a swap field there is no swap: the limit is then the total (as in containerd and CRI-O; swap.max 0 on v2)
  const total = swap ?? limit;
  if (limit === undefined && swap === undefined) return undefined;
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(total === undefined || !host.swapLimits ? {} : { swap: total }),
  };
}

function cpuOf(resources: Resources): OciResources['cpu'] {
  const cpu = {
    ...(resources.cpuShares === undefined ? {} : { shares: resources.cpuShares }),
    ...(resources.cpuQuota === undefined ? {} : { quota: resources.cpuQuota }),
    ...(resources.cpuPeriod === undefined ? {} : { period: resources.cpuPeriod }),
    ...(resources.cpusetCpus === '' ? {} : { cpus: resources.cpusetCpus }),
    ...(resources.cpusetMems === '' ? {} : { mems: resources.cpusetMems }),
  };
  return Object.keys(cpu).length === 0 ? undefined : cpu;
}

function unifiedOf(
  resources: Resources,
  host: SpecHost,
): { readonly unified?: Readonly<Record<string, string>> } {
  const entries = Object.entries(resources.unified);
  if (entries.length === 0) return {};
  const refuse = (reason: string): never =>
    fail('invalidRequest', `set unified cgroup resources: ${reason}`, { subject: 'linux.resources.unified' });
  if (host.cgroupVersion === 1) refuse('this node has cgroup v1');
  if (entries.length > portLimits.unifiedKeys)
    refuse(`${entries.length} keys, more than ${portLimits.unifiedKeys}`);
  for (const [key] of entries) {
    // the key becomes a file name in the container's cgroup
    if (!/^[a-z0-9_]+\.[A-Za-z0-9_.-]+$/u.test(key) || key.includes('..'))
      refuse(`${JSON.stringify(key)} is not a controller's file`);
  }
  return { unified: Object.fromEntries(entries) };
}

/** Allows the requested devices; runtimes add the standard ones themselves (OCI spec, "Default Devices"). */
function deviceRules(devices: readonly ResolvedDevice[], privileged: boolean): readonly OciDeviceRule[] {
  if (privileged) return [{ allow: true, access: 'rwm' }];
  return [
    { allow: false, access: 'rwm' },
    ...devices.filter(({ permissions }) => permissions !== '').map(deviceRule),
  ];
}

/** Allows access to the device; a FIFO has no permissions and gets no rule. */
export function deviceRule({ type, major, minor, permissions }: ResolvedDevice): OciDeviceRule {
  return { allow: true, type: type === 'b' ? 'b' : 'c', major, minor, access: permissions };
}

/** `linux.devices`: the device nodes. */
export function devicesOf(devices: readonly ResolvedDevice[]): readonly OciDevice[] {
  return devices.map(({ path, type, major, minor, fileMode, uid, gid }) => ({
    path,
    type,
    major,
    minor,
    fileMode,
    uid,
    gid,
  }));
}
