/** The AppArmor profile of containers that ask for the runtime's default, and the check of what a container asks for. */
import type { ContainerSecurity } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';

/** The default profile's name, as `crio-default` and `cri-containerd.apparmor.d` are the peers'. */
export const DEFAULT_PROFILE = 'troupe-default';

/**
 * Everything that a container's capabilities and mounts let it do, less the kernel's global switches below /proc and
 * /sys: those that are writable there belong to the machine, not to the container, whatever it has mounted. Signals come
 * from the daemon and the OCI runtimes, some of which have a profile of their own on newer distributions.
 */
export const DEFAULT_PROFILE_TEXT = `
profile ${DEFAULT_PROFILE} flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  umount,

  signal (receive) peer=unconfined,
  signal (receive) peer={runc,crun,conmon,/usr/{,local/}{,s}bin/{runc,crun,conmon}},
  signal (send, receive) peer=${DEFAULT_PROFILE},
  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_PROFILE},

  deny mount,

  # files of the machine right below /proc; directories of processes stay
  deny /proc/* w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,
  deny /proc/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** w,
  # of the switches below /proc/sys only those of the container's own namespaces
  deny /proc/sys/{abi,crypto,debug,dev,fs,sunrpc,user,vm}/** w,
  deny /proc/sys/kernel/{[^s]*,s[^h]*,sh[^m]*}{,/**} w,

  deny /sys/{[^f]*,f[^s]*}/** wklx,
  deny /sys/fs/{[^c]*,c[^g]*}/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;

/** What the check asks of the machine. */
export interface Apparmor {
  isLoaded(profile: string): Promise<boolean>;
  /** Loads the default profile. */
  loadDefault(): Promise<void>;
}

/**
 * Throws `invalidRequest` when the container asks for a profile that the kernel has not: the runtime would start it to
 * see it fail. The default one is loaded again when somebody has unloaded it.
 */
export async function checkProfile(
  apparmor: Apparmor | undefined,
  { apparmorProfile: name, privileged }: ContainerSecurity,
): Promise<void> {
  if (name === '' || privileged) return;
  if (apparmor === undefined) refuse(name, 'AppArmor is not enabled on this node');
  if (await apparmor.isLoaded(name)) return;
  if (name !== DEFAULT_PROFILE) refuse(name, 'it is not loaded on this node');
  await apparmor.loadDefault();
}

function refuse(name: string, reason: string): never {
  return fail('invalidRequest', `use AppArmor profile ${name}: ${reason}`, {
    subject: 'linux.security_context.apparmor',
  });
}
