/** The files of a pod's checkpoint, and whether a request fits the checkpoint that it names. Pure: what the checkpoint says was read by the caller. */
import type { CheckpointFacts } from '../../ports/checkpoint.ts';
import type { ContainerSpec, RestoreSource, SandboxSpec } from '../../ports/specs.ts';
import { fail } from '../../base/fault.ts';
import { requestLimits } from '../bounds.ts';
import { each, quoted, refuse } from './check.ts';

/** What every container gets from its runtime, of ours and of the peers: the new one gets its own. */
const OWN: ReadonlySet<string> = new Set([
  '/proc',
  '/dev',
  '/dev/pts',
  '/dev/mqueue',
  '/dev/shm',
  '/sys',
  '/sys/fs/cgroup',
  '/etc/resolv.conf',
  '/etc/hostname',
  '/etc/hosts',
  '/etc/passwd',
  '/etc/group',
  '/run/secrets',
  '/run/.containerenv',
]);
/** Missing places that a message names. */
const NAMED = 5;

/**
 * The wish with its checkpoint. The request brings every mount, and what the checkpoint had mounted is only held against it:
 * nothing of the host is mounted because an archive says so (S08).
 */
export function restored(
  spec: ContainerSpec,
  sandbox: SandboxSpec,
  from: RestoreSource['from'],
  facts: CheckpointFacts,
): ContainerSpec {
  const asked = new Set(spec.mounts.map(({ containerPath }) => withoutSlash(containerPath)));
  const missing = facts.mounts.filter((place) => !OWN.has(place) && !asked.has(place));
  if (missing.length > 0) {
    const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '';
    refuse(
      'config.mounts',
      `the checkpoint had mounts at ${missing.slice(0, NAMED).map(quoted).join(', ')}${more}, which the request must bring`,
    );
  }
  if (spec.tty !== facts.tty)
    refuse(
      'config.tty',
      `is ${spec.tty}, and the checkpoint is of a container ${facts.tty ? 'with' : 'without'} a terminal`,
    );
  if (sandbox.namespaces.user !== undefined)
    fail('unsupported', 'config.image: a checkpoint is not restored in a pod with a user namespace', {
      subject: 'config.image',
    });
  return { ...spec, restore: { from, digest: facts.digest } };
}

/** A container's name becomes a file's: the kubelet's are DNS labels. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/u;

/** The archive of a container in the directory of its pod's checkpoint. */
export function archiveOf(field: string, directory: string, name: string): string {
  return NAME.test(name)
    ? `${directory}/${name}.tar`
    : refuse(field, `the name ${quoted(name)} can't be that of a file`);
}

/** The containers of a pod's checkpoint that a call names, each with its archive: one at least, none twice. */
export function eachArchive<T, R extends { readonly archive: string }>(
  field: string,
  items: readonly T[],
  check: (field: string, item: T) => R,
): readonly R[] {
  const wanted = each(field, items, check, requestLimits.checkpointContainers);
  if (wanted.length === 0) refuse(field, 'names none');
  if (new Set(wanted.map(({ archive }) => archive)).size < wanted.length) refuse(field, 'names one twice');
  return wanted;
}

/** CheckpointPod and RestorePod have none. */
export function noOptions(rpc: string, options: Readonly<Record<string, string>>): void {
  const [unknown] = Object.keys(options);
  if (unknown !== undefined) refuse(`${rpc}: options`, `there is no option ${quoted(unknown)}`);
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/u, '') : path;
}
