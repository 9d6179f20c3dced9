/**
 * The descriptions in a checkpoint's archive, by the names and in the forms that checkpointctl and the peers read
 * (github.com/checkpoint-restore/checkpointctl, lib/metadata.go). Nothing secret is in config.dump; spec.dump and the
 * images of the processes hold all that the container knew.
 */
import type { CheckpointedContainer } from '../../ports/checkpoint.ts';

export const FILES = {
  /** What the container was: for people and tools. */
  config: 'config.dump',
  /** The runtime's configuration that it ran with. */
  spec: 'spec.dump',
  /** Bind mounts, and whether each is of a file or a directory. */
  bindMounts: 'bind.mounts',
  /** CRIU's images. */
  images: 'checkpoint',
  dumpLog: 'dump.log',
  stats: 'stats-dump',
  rootfs: 'rootfs-diff.tar',
  deleted: 'deleted.files',
  log: 'container.log',
} as const;

const NS_PER_MS = 1_000_000n;

/** What never was, as Go writes it. */
const NEVER = '0001-01-01T00:00:00Z';

/** `config.dump`. */
export function configDump(container: CheckpointedContainer, handler: string, nowNs: bigint): string {
  const { id, spec, image, createdAtNs } = container;
  return JSON.stringify({
    id,
    name: spec.key.name,
    rootfsImage: spec.imageUserSpecified || spec.imageRequested,
    rootfsImageRef: image.id,
    rootfsImageName: image.ref,
    runtime: handler,
    createdTime: time(createdAtNs),
    checkpointedTime: time(nowNs),
    restoredTime: NEVER,
    restored: false,
  });
}

function time(ns: bigint): string {
  return new Date(Number(ns / NS_PER_MS)).toISOString();
}

/** A mount of the runtime's configuration. */
export interface SpecMount {
  readonly type: string;
  readonly source: string;
  readonly destination: string;
}

/** The mounts in the text of a config.json of ours. */
export function specMounts(text: string): readonly SpecMount[] {
  const document = JSON.parse(text) as { readonly mounts?: readonly Partial<SpecMount>[] };
  return (document.mounts ?? []).map(({ type = '', source = '', destination = '' }) => ({
    type,
    source,
    destination,
  }));
}

/** One bind mount as bind.mounts lists it; sources are the host's, told for people only: a restore takes the request's mounts. */
export function bindMount({ source, destination }: SpecMount, isDirectory: boolean, mode: number): object {
  return { source, destination, file_type: isDirectory ? 'directory' : 'file', permissions: mode & 0o777 };
}
