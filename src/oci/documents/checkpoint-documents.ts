/**
 * The descriptions in a checkpoint's archive, with the names and forms that checkpointctl, containerd and CRI-O read
 * (github.com/checkpoint-restore/checkpointctl, lib/metadata.go). config.dump has no secrets; spec.dump and the
 * images of the processes have all that the container knew.
 */
import type { CheckpointedContainer } from '../../ports/checkpoint.ts';

export const FILES = {
  /** Description of the container, for people and tools. */
  config: 'config.dump',
  /** The config.json with which the container ran. */
  spec: 'spec.dump',
  /** Bind mounts, and whether each is a file or a directory. */
  bindMounts: 'bind.mounts',
  /** Directory of CRIU's images. */
  images: 'checkpoint',
  dumpLog: 'dump.log',
  stats: 'stats-dump',
  rootfs: 'rootfs-diff.tar',
  deleted: 'deleted.files',
  log: 'container.log',
} as const;

const NS_PER_MS = 1_000_000n;

/** Go's zero time: never. */
const NEVER = '0001-01-01T00:00:00Z';

/** The text of `config.dump`. */
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

/** A mount in a config.json. */
export interface SpecMount {
  readonly type: string;
  readonly source: string;
  readonly destination: string;
}

/** The mounts in the text of a config.json written by troupe. */
export function specMounts(text: string): readonly SpecMount[] {
  const document = JSON.parse(text) as { readonly mounts?: readonly Partial<SpecMount>[] };
  return (document.mounts ?? []).map(({ type = '', source = '', destination = '' }) => ({
    type,
    source,
    destination,
  }));
}

/** An entry of bind.mounts. The source is the host's and only informs people: a restore uses the request's mounts. */
export function bindMount({ source, destination }: SpecMount, isDirectory: boolean, mode: number): object {
  return { source, destination, file_type: isDirectory ? 'directory' : 'file', permissions: mode & 0o777 };
}
