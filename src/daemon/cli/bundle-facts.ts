/** Versions and kernel facts of this machine, for a support bundle. Nothing of the user's is read. */
import { arch, release, type, version } from 'node:os';
import { realClock } from '../../host/clock/clock.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { toFault } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import { handlersOf } from '../wiring/handlers.ts';
import { VERSION } from '../wiring/version.ts';

/** Not the command line of the kernel, which may hold keys. */
const KERNEL_FILES = [
  '/proc/sys/kernel/osrelease',
  '/proc/sys/kernel/pid_max',
  '/proc/sys/kernel/threads-max',
  '/proc/sys/kernel/unprivileged_userns_clone',
  '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  '/proc/sys/user/max_user_namespaces',
  '/proc/sys/fs/inotify/max_user_instances',
  '/proc/sys/fs/inotify/max_user_watches',
  '/proc/sys/fs/file-max',
  '/proc/sys/net/ipv4/ip_forward',
  '/proc/sys/net/ipv6/conf/all/forwarding',
  '/proc/sys/vm/overcommit_memory',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/filesystems',
  '/proc/cgroups',
  '/proc/pressure/cpu',
  '/proc/pressure/io',
  '/proc/pressure/memory',
  '/sys/fs/cgroup/cgroup.controllers',
  '/sys/fs/cgroup/cgroup.subtree_control',
  '/sys/kernel/security/lsm',
  '/sys/fs/selinux/enforce',
] as const;

/** Files of the kernel by path; null where one does not exist or can't be read. */
export async function kernelFacts(): Promise<Readonly<Record<string, string | null>>> {
  const bounds = { usualBytes: 4096, bytesMax: cliLimits.factBytes };
  const texts = await Promise.all(
    KERNEL_FILES.map(
      async (path) => [path, (await readSmallFile(path, bounds).catch(() => undefined)) ?? null] as const,
    ),
  );
  return Object.fromEntries(texts.map(([path, text]) => [path, text?.trim() ?? null]));
}

/** Of troupe, Node, the kernel, the distribution, and the programs of the configuration. */
export async function versions(config: Config): Promise<object> {
  const handlers = await handlersOf(config);
  const programs = new Set(
    handlers.flatMap(({ kind, path, monitorPath = '' }) =>
      kind === 'oci' ? [path, monitorPath] : [monitorPath],
    ),
  );
  programs.delete('');
  const said = await Promise.all([...programs].map(async (path) => [path, await versionOf(path)] as const));
  const plugins = await Promise.all(
    config.network.plugin_dirs.map(
      async (path) => [path, await namesIfDirectory(path).catch(() => [])] as const,
    ),
  );
  const osRelease = await readSmallFile('/etc/os-release', {
    usualBytes: 4096,
    bytesMax: cliLimits.factBytes,
  });
  return {
    troupe: VERSION,
    node: process.version,
    arch: arch(),
    kernel: `${type()} ${release()} ${version()}`,
    distribution: /^PRETTY_NAME="?(?<name>[^"\n]*)/mu.exec(osRelease ?? '')?.groups?.['name'] ?? null,
    handlers: handlers.map(({ name, kind, path, missing }) => ({
      name,
      kind,
      path,
      missing: missing ?? null,
    })),
    programs: Object.fromEntries(said),
    cniPlugins: Object.fromEntries(plugins),
  };
}

async function versionOf(path: string): Promise<string> {
  try {
    const { stdout } = await runTool({
      argv: [path, '--version'],
      timeoutMs: cliLimits.versionMs,
      outputBytesMax: cliLimits.factBytes,
      clock: realClock(),
    });
    return Buffer.from(stdout).toString('utf8').trim();
  } catch (thrown) {
    return toFault(thrown).message;
  }
}
