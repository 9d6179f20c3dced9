/**
 * Whether a request fits the checkpoint that it names, and the file names of a pod's checkpoint. Pure: the caller reads
 * the checkpoint.
 */
import type { CheckpointFacts } from '../../ports/checkpoint.ts';
import type { ContainerSpec, RestoreSource, SandboxSpec } from '../../ports/specs.ts';
import { fail } from '../../base/fault.ts';
import { requestLimits } from '../bounds.ts';
import { each, quoted, refuse } from './check.ts';

/** Mounts that troupe and the peers add to every container; the restored container gets its own. */
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
/** Missing mounts that a message lists. */
const NAMED = 5;

/**
 * The spec with its checkpoint. The request must contain every mount that the checkpoint had; the checkpoint's own list
 * is only compared with it, so that an archive never causes a mount of the host (S08).
 */
export function restored(
  spec: ContainerSpec,
  sandbox: SandboxSpec,
  from: RestoreSource['from'],
  facts: CheckpointFacts,
): ContainerSpec {
  const asked = new Set(spec.mounts.map(({ containerPath }) => withoutSlash(containerPath)));
  const missing = facts.mounts.filter((path) => !OWN.has(path) && !asked.has(path));
  if (missing.length > 0) {
    const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '';
    refuse(
      'config.mounts',
      `missing mounts of the checkpoint: ${missing.slice(0, NAMED).map(quoted).join(', ')}${more}`,
    );
  }
  if (spec.tty !== facts.tty)
    refuse(
      'config.tty',
      `is ${spec.tty}, but the checkpoint is of a container ${facts.tty ? 'with' : 'without'} a terminal`,
    );
  if (sandbox.namespaces.user !== undefined)
    fail(
      'unsupported',
      'config.image: restore of a checkpoint not supported in a pod with a user namespace',
      {
        subject: 'config.image',
      },
    );
  return { ...spec, restore: { from, digest: facts.digest } };
}

/** A container name that can be part of a file name. The kubelet's names are DNS labels. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/u;

/** The path of a container's archive in the directory of its pod's checkpoint. */
export function archiveOf(field: string, directory: string, name: string): string {
  return NAME.test(name) ? `${directory}/${name}.tar` : refuse(field, `${quoted(name)} can't be a file name`);
}

/** The containers that a call names, each with its archive: at least one, without duplicates. */
export function eachArchive<T, R extends { readonly archive: string }>(
  field: string,
  items: readonly T[],
  check: (field: string, item: T) => R,
): readonly R[] {
  const wanted = each(field, items, check, requestLimits.checkpointContainers);
  if (wanted.length === 0) refuse(field, 'is empty');
  if (new Set(wanted.map(({ archive }) => archive)).size < wanted.length)
    refuse(field, 'names a container twice');
  return wanted;
}

/** Refuses any option: CheckpointPod and RestorePod have none. */
export function noOptions(rpc: string, options: Readonly<Record<string, string>>): void {
  const [unknown] = Object.keys(options);
  if (unknown !== undefined) refuse(`${rpc}: options`, `unknown option ${quoted(unknown)}`);
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/u, '') : path;
}
