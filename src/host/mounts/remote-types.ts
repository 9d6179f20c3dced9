/** Types of file systems that may not answer. */

/** File systems that wait only for a disk or memory of this machine. Any other type is probed first. */
const LOCAL: ReadonlySet<string> = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'zfs',
  'f2fs',
  'bcachefs',
  'jfs',
  'vfat',
  'exfat',
  'iso9660',
  'squashfs',
  'erofs',
  'overlay',
  'tmpfs',
  'ramfs',
  'devtmpfs',
  'rootfs',
  'proc',
  'sysfs',
  'cgroup',
  'cgroup2',
  'cpuset',
  'devpts',
  'mqueue',
  'hugetlbfs',
  'bpf',
  'tracefs',
  'debugfs',
  'securityfs',
  'selinuxfs',
  'configfs',
  'efivarfs',
  'fusectl',
  'rpc_pipefs',
  'nfsd',
  'pstore',
  'resctrl',
  'nsfs',
  'binfmt_misc',
]);

/** Whether a mount may wait for another machine or for a program. */
export function isRemote({
  fsType,
  mountPoint,
}: {
  readonly fsType: string;
  readonly mountPoint: string;
}): boolean {
  // systemd's automount of binfmt_misc exists on nearly every machine and waits for process 1 alone
  return !LOCAL.has(fsType) && !(fsType === 'autofs' && mountPoint.startsWith('/proc/'));
}
