/**
 * Limits that exist only in a container's OCI spec: they are set when it is created and never change later.
 * Pure.
 */
import { fail } from '../base/fault.ts';
import type { LinuxResources } from '../gen/nri/v1alpha1/api_pb.ts';
import type { OciDeviceRule, OciResources } from '../oci/runtime/spec/types.ts';

/**
 * The resources with those limits. Throws `unsupported` for block I/O and RDT classes, which troupe does not
 * resolve.
 */
export function amendResources(
  before: OciResources,
  { memory, cpu, pids, devices, blockioClass, rdtClass }: LinuxResources,
  plugin: string,
): OciResources {
  const named =
    blockioClass !== undefined
      ? `block I/O class ${blockioClass.value}`
      : rdtClass === undefined
        ? ''
        : `RDT class ${rdtClass.value}`;
  if (named !== '')
    fail('unsupported', `nri plugin ${plugin}: set ${named}: classes are not supported`, {
      subject: plugin,
    });
  const memoryLimits = {
    ...before.memory,
    ...present('reservation', memory?.reservation),
    ...present('kernel', memory?.kernel),
    ...present('kernelTCP', memory?.kernelTcp),
    ...present('swappiness', memory?.swappiness),
    ...present('disableOOMKiller', memory?.disableOomKiller),
    ...present('useHierarchy', memory?.useHierarchy),
  };
  const cpuLimits = {
    ...before.cpu,
    ...present('realtimeRuntime', cpu?.realtimeRuntime),
    ...present('realtimePeriod', cpu?.realtimePeriod),
  };
  return {
    ...before,
    ...(Object.keys(memoryLimits).length === 0 ? {} : { memory: memoryLimits }),
    ...(Object.keys(cpuLimits).length === 0 ? {} : { cpu: cpuLimits }),
    ...(pids === undefined ? {} : { pids: { limit: pids.limit } }),
    devices: [...before.devices, ...devices.map(ruleOf)],
  };
}

function present<K extends string, V>(
  name: K,
  field: { readonly value: V } | undefined,
): Partial<Record<K, V>> {
  return field === undefined ? {} : ({ [name]: field.value } as Partial<Record<K, V>>);
}

function ruleOf({ allow, type, major, minor, access }: LinuxResources['devices'][number]): OciDeviceRule {
  return {
    allow,
    type: type === 'b' || type === 'c' ? type : 'a',
    ...(major === undefined ? {} : { major: Number(major.value) }),
    ...(minor === undefined ? {} : { minor: Number(minor.value) }),
    access,
  };
}
