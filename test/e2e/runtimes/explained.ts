// Why a spec or a row does not pass with a runtime. The command fails at one that this table does not explain.
import type { Explanation } from './judge.ts';

const all = ['runc-debian', 'runc', 'crun-debian', 'crun', 'youki', 'runsc', 'runsc-shim', 'runc-shim'];
const gvisor = ['runsc', 'runsc-shim'];

/** What every runtime has on this machine. */
const ofMachine: readonly Explanation[] = [
  {
    of: all,
    suite: 'critest',
    name: /AppArmor/u,
    reason: /AppArmor is disabled on this host/u,
    why: 'the machine: its kernel has no AppArmor; `npm run test:vm` runs these',
  },
  {
    of: all,
    suite: 'conformance',
    name: /recursive_read_only: where the handler cannot do it/u,
    reason: /the handler has recursive read-only mounts/u,
    why: 'the row is for runtimes without them; this one has them, and their rows pass',
  },
];

const ofGvisor: readonly Explanation[] = [
  {
    of: gvisor,
    suite: 'critest',
    name: /HostIpc is (?:true|false)/u,
    reason: /\/proc\/sysvipc\/shm: No such file/u,
    why: "gVisor's /proc has no sysvipc, which the spec's ipcs reads",
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /HostNetwork is true/u,
    reason: /should be in container's port list/u,
    why: "gVisor's /proc/net lists the ports of its own network stack, not the host's",
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /Privileged is true|adding capability/u,
    reason: /brctl: can't change directory to '\/sys\/class\/net'/u,
    why: 'gVisor has neither bridges nor /sys/class/net, by which the specs show a capability',
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /MaskedPaths|ReadonlyPaths/u,
    reason: /Expected an error to have occurred/u,
    why: "gVisor ignores maskedPaths and readonlyPaths: the /proc is its own, and not the host's",
  },
  {
    of: ['runsc-shim'],
    suite: 'critest',
    name: /portforward in host network/u,
    reason: /connection refused/u,
    why: "a program on the host's network listens in gVisor's own network stack, unless the shim is given network = host",
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /'rshared' should support propagation/u,
    reason: /root mou(?:nt propagation option must specify private or slave|…)/u,
    why: 'gVisor refuses a root file system with shared propagation: its mounts never reach the host',
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /non-recursive readonly mounts/u,
    reason: /Read-only file system/u,
    why: 'gVisor sees a volume with all that is mounted below it as one mount, so that read-only counts for all of it',
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /readonly mounts should/u,
    reason: /runtime does not implement recursive readonly mounts/u,
    why: 'runsc features lists no recursive read-only mounts',
  },
  {
    of: ['runsc'],
    suite: 'critest',
    name: /should support (?:HostPID|PodPID)/u,
    reason: /pidof nginx|master process/u,
    why: "each container has a kernel of its own here, and the host's processes are in none: no other processes are seen",
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /UserNamespaces .* NamespaceMode_POD/u,
    reason: /gofer: error setting namespace of type user/u,
    why: 'runsc features lists idmapped mounts, but its gofer cannot join a user namespace that exists already',
  },
  {
    of: ['runsc'],
    suite: 'critest',
    name: /execSync with timeout/u,
    reason: /to be empty/u,
    why: "the killed runsc exec leaves its process in gVisor's kernel, where no signal of the host reaches it",
  },
  {
    of: ['runsc'],
    suite: 'critest',
    name: /OOMKilled/u,
    reason: /waiting for sandbox to start: EOF/u,
    why: "the spec's limit is less memory than gVisor's kernel, which counts as well, needs to start",
  },
  {
    of: ['runsc-shim'],
    suite: 'critest',
    name: /OOMKilled/u,
    reason: /Timed out after/u,
    why: "the pod's containers share one kernel of gVisor, whose memory no limit of a single container bounds",
  },
  {
    of: ['runsc-shim', 'runc-shim'],
    suite: 'critest',
    name: /UserNamespaces/u,
    reason: /no runtime handler found which supports user namespaces/u,
    why: 'handlers of type vm have no user namespaces',
  },
  {
    of: gvisor,
    suite: 'critest',
    name: /sysctls/u,
    reason: /can't open '\/proc\/sys\/(?:kernel\/shm_rmid_forced|fs\/mqueue\/msg_max)'/u,
    why: "gVisor's /proc/sys has no such names",
  },
  {
    of: ['runsc'],
    suite: 'left',
    name: /null-netns/u,
    reason: /\/null-netns nsfs/u,
    why: 'runsc keeps one empty network namespace in its state directory, for all containers',
  },
];

const ofYouki: readonly Explanation[] = [
  {
    of: ['youki'],
    suite: 'critest',
    name: /SeccompProfilePath/u,
    reason: /Expected an error to have occurred|Seccomp: 0/u,
    why: "youki's exec runs without the seccomp filter of its container, which itself has it",
  },
  {
    of: ['youki'],
    suite: 'critest',
    name: /'(?:rshared|rslave)' should support propagation/u,
    reason: /failed to prepare rootfs/u,
    why: "youki takes the propagation of the root as the specification's words only, which runc reads as not recursive",
  },
  {
    of: ['youki'],
    suite: 'critest',
    name: /UserNamespaces/u,
    reason: /no runtime handler found which supports user namespaces/u,
    why: 'youki features lists no idmapped mounts, which a pod with users of its own needs',
  },
  {
    of: ['youki'],
    suite: 'critest',
    name: /readonly mounts/u,
    reason: /runtime does not implement recursive readonly mounts/u,
    why: 'youki features lists no recursive read-only mounts',
  },
  {
    of: ['youki', ...gvisor],
    suite: 'left',
    name: /\/mnt /u,
    reason: /\+ mounts: \S+\/trctest/u,
    why: 'critest leaves its own mount where its specs of mount propagation fail',
  },
];

const ofOthers: readonly Explanation[] = [
  {
    of: ['runc-debian', 'crun-debian'],
    suite: 'critest',
    name: /UserNamespaces/u,
    reason: /no runtime handler found which supports user namespaces/u,
    why: 'runc 1.1 and crun 1.8 have no idmapped mounts, which a pod with users of its own needs',
  },
  {
    of: ['crun-debian'],
    suite: 'critest',
    name: /readonly mounts/u,
    reason: /runtime does not implement recursive readonly mounts/u,
    why: 'crun 1.8 has no command features, which would list recursive read-only mounts',
  },
  {
    of: ['runc-shim'],
    suite: 'critest',
    name: /readonly mounts/u,
    reason: /runtime does not implement recursive readonly mounts/u,
    why: 'nothing says whether the runtime behind a shim has recursive read-only mounts',
  },
];

export const explanations: readonly Explanation[] = [...ofMachine, ...ofGvisor, ...ofYouki, ...ofOthers];
