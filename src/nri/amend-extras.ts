/** The parts of an OCI spec that only plugins set: scheduling, seccomp policy, RDT, memory policy. Pure. */
import {
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
} from '../gen/nri/v1alpha1/api_pb.ts';
import type {
  LinuxContainerAdjustment,
  LinuxRdt,
  LinuxScheduler,
  LinuxSeccomp,
} from '../gen/nri/v1alpha1/api_pb.ts';
import type {
  OciLinux,
  OciProcess,
  OciScheduler,
  OciSeccomp,
  SeccompOperator,
} from '../oci/runtime/spec/types.ts';
import { unmarked } from './owners.ts';

/** Sets OOM score, I/O priority and scheduling of the first process. */
export function amendProcessExtras(
  process: OciProcess,
  { oomScoreAdj, ioPriority, scheduler }: LinuxContainerAdjustment,
): OciProcess {
  return {
    ...process,
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj: Number(oomScoreAdj.value) }),
    ...(ioPriority === undefined
      ? {}
      : { ioPriority: { class: nameOf(IOPrioClass, ioPriority.class), priority: ioPriority.priority } }),
    ...(scheduler === undefined ? {} : { scheduler: schedulerOf(scheduler) }),
  };
}

/** Sets seccomp policy, network devices, RDT and memory policy. */
export function amendLinuxExtras(linux: OciLinux, adjust: LinuxContainerAdjustment): OciLinux {
  const { seccompPolicy, memoryPolicy, netDevices, rdt } = adjust;
  const devices = new Map(Object.entries(linux.netDevices ?? {}));
  for (const [key, { name }] of Object.entries(netDevices)) {
    const host = unmarked(key);
    if (host.isRemoval) devices.delete(host.key);
    else devices.set(key, name === '' ? {} : { name });
  }
  const { intelRdt: _rdt, netDevices: _devices, ...rest } = linux;
  const intelRdt = rdt === undefined ? linux.intelRdt : rdtOf(linux.intelRdt, rdt);
  return {
    ...rest,
    ...(devices.size === 0 ? {} : { netDevices: Object.fromEntries(devices) }),
    ...(seccompPolicy === undefined ? {} : { seccomp: seccompOf(seccompPolicy) }),
    ...(intelRdt === undefined ? {} : { intelRdt }),
    ...(memoryPolicy === undefined
      ? {}
      : {
          memoryPolicy: {
            mode: nameOf(MpolMode, memoryPolicy.mode),
            nodes: memoryPolicy.nodes,
            flags: memoryPolicy.flags.map((flag) => nameOf(MpolFlag, flag)),
          },
        }),
  };
}

/** The OCI specification uses the same names as the enum. */
function nameOf(names: Readonly<Record<string, number>>, number: number): string {
  return Object.entries(names).find(([, value]) => value === number)?.[0] ?? '';
}

function schedulerOf({
  policy,
  nice,
  priority,
  flags,
  runtime,
  deadline,
  period,
}: LinuxScheduler): OciScheduler {
  return {
    policy: nameOf(LinuxSchedulerPolicy, policy),
    nice,
    priority,
    flags: flags.map((flag) => nameOf(LinuxSchedulerFlag, flag)),
    runtime,
    deadline,
    period,
  };
}

function rdtOf(
  before: OciLinux['intelRdt'],
  { closId, schemata, enableMonitoring, remove }: LinuxRdt,
): OciLinux['intelRdt'] {
  const changes = {
    ...(closId === undefined ? {} : { closID: closId.value }),
    ...(schemata === undefined ? {} : { schemata: schemata.value }),
    ...(enableMonitoring === undefined ? {} : { enableMonitoring: enableMonitoring.value }),
  };
  const after = { ...(remove ? {} : before), ...changes };
  return Object.keys(after).length === 0 ? undefined : after;
}

function seccompOf(policy: LinuxSeccomp): OciSeccomp {
  const { defaultAction, defaultErrno, architectures, flags, listenerPath, listenerMetadata, syscalls } =
    policy;
  return {
    defaultAction,
    ...(defaultErrno === undefined ? {} : { defaultErrnoRet: defaultErrno.value }),
    architectures,
    ...(flags.length === 0 ? {} : { flags }),
    ...(listenerPath === '' ? {} : { listenerPath }),
    ...(listenerMetadata === '' ? {} : { listenerMetadata }),
    syscalls: syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet === undefined ? {} : { errnoRet: errnoRet.value }),
      // runc accepts only these operator names
      ...(args.length === 0
        ? {}
        : {
            args: args.map(({ index, value, valueTwo, op }) => ({
              index,
              value,
              valueTwo,
              op: op as SeccompOperator,
            })),
          }),
    })),
  };
}
