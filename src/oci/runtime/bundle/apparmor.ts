/** The AppArmor profile used for RuntimeDefault, and the check of a requested profile. */
import type { ContainerSecurity } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';

/** Name of the default profile; CRI-O's is `crio-default`, containerd's `cri-containerd.apparmor.d`. */
export const DEFAULT_PROFILE = 'troupe-default';

/**
 * Allows what a container's capabilities and mounts allow, except the kernel's global settings below /proc and /sys:
 * the writable ones belong to the machine, whatever the container has mounted. The kernel's crypto interface (AF_ALG)
 * is refused here, too, since seccomp does not see the family of IA-32's socketcall (S35). Signals come from the
 * daemon and the OCI runtimes, which on newer distributions may have profiles of their own.
 */
export const DEFAULT_PROFILE_TEXT = `
profile ${DEFAULT_PROFILE} flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  deny network alg,
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

/** AppArmor on this machine. */
export interface Apparmor {
  isLoaded(profile: string): Promise<boolean>;
  /** Loads the default profile. */
  loadDefault(): Promise<void>;
}

/**
 * Throws `invalidRequest` for a profile that is not loaded; the runtime would start the container and fail. Loads the
 * default profile again if somebody has unloaded it.
 */
export async function checkProfile(
  apparmor: Apparmor | undefined,
  { apparmorProfile: name, privileged }: ContainerSecurity,
): Promise<void> {
  if (name === '' || privileged) return;
  if (apparmor === undefined) refuse(name, 'AppArmor is not enabled on this node');
  if (await apparmor.isLoaded(name)) return;
  if (name !== DEFAULT_PROFILE) refuse(name, 'not loaded on this node');
  await apparmor.loadDefault();
}

function refuse(name: string, reason: string): never {
  return fail('invalidRequest', `use AppArmor profile ${name}: ${reason}`, {
    subject: 'linux.security_context.apparmor',
  });
}
