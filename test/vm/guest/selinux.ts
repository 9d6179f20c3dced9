// SELinux in the guest: the policy module of deploy/, and what the kernel has denied.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';

const isEnabled = (): boolean => existsSync('/sys/fs/selinux/enforce');

/** As docs/operations.md says; the module is in the root disk's policy. Nothing without SELinux. */
export async function labelProgram(): Promise<void> {
  if (!isEnabled()) return;
  await runOrThrow(['restorecon', '-R', '-F', join(checkout, 'bin')]);
  // not kept: that would build the policy anew
  await runOrThrow(['setsebool', 'container_use_host_all_caps', 'on']);
}

/** What has been denied to the daemon, its helpers and containers since the boot: a line each, without its time. */
export async function denials(): Promise<string[]> {
  if (!isEnabled()) return [];
  const log = await runOrThrow(['dmesg', '--color=never', '--notime'], { timeoutMs: 60_000 });
  return log
    .split('\n')
    .filter((line) => /avc:\s+denied.*\b(?:troupe|container|spc|conmon|iptables)_/u.test(line))
    .map((line) => line.replace(/^.*?avc:\s+denied\s+/u, ''));
}

/** The label of a process. */
export const labelOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/attr/current`, 'utf8')).replace(/\0$/u, '').trim();

/** The labels of files; links are not followed. */
export async function fileLabels(...paths: readonly string[]): Promise<string[]> {
  return (await runOrThrow(['stat', '--format=%C', ...paths])).trim().split('\n');
}
