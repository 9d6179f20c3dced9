/**
 * Checkpoints of running containers (CRIU): the state of their processes and the files that they wrote, one
 * archive each.
 */
import { fail } from '../base/fault.ts';
import type { EffectContext } from './effect.ts';
import type { EffectiveContainer, ProcessIdentity } from './journal.ts';
import type { ContainerInput } from './runtime.ts';
import type { ImageUse, RestoreSource } from './specs.ts';

export interface CheckpointedContainer extends ContainerInput {
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
  /** Absolute; empty for no log. */
  readonly logPath: string;
  /** Absolute path of the archive to write: its directory exists, the archive does not. */
  readonly archive: string;
}

export interface CheckpointInput {
  /** Such as `CheckpointContainer <id>`. */
  readonly attempted: string;
  readonly containers: readonly CheckpointedContainer[];
  /** Directory of the archives, when it may hold nothing else: then it must be empty at first. */
  readonly emptyDirectory?: string;
  /**
   * Wall clock at which an earlier daemon was asked for the same. If all archives were written since then, it has done
   * it, and died before its answer: the request is complete.
   */
  readonly askedNs?: bigint;
  /**
   * Called once no container is frozen any more: when all were read and thawed, before the archives are packed, or when
   * the call fails before that, also without having frozen one, before its archives are removed. Never called twice; a
   * call that rejects before it begins an archive need not call it. Must not throw.
   */
  readonly onThawed?: () => void;
}

export interface DescribeInput {
  /** Such as `CreateContainer <name>`. */
  readonly attempted: string;
  /** Runtime handler of the container to create. */
  readonly handler: string;
  readonly from: RestoreSource['from'];
}

/** What an archive says about its container. It is untrusted: whoever made the archive chose every word. */
export interface CheckpointFacts {
  /** Digest of the archive's descriptions (`sha256:…`). */
  readonly digest: string;
  /** Names of the image that the container may have come from, the most exact one first; at least one. */
  readonly images: readonly string[];
  /** Paths in the container where something from outside was mounted. */
  readonly mounts: readonly string[];
  readonly tty: boolean;
}

export interface CheckpointPort {
  /**
   * Writes an archive of each container, all at one moment: none resumes before all have been dumped. When
   * the call settles all of them run again; after a failure or an abort no archive is left. Rejects with
   * `unsupported` where the runtime or the machine can't checkpoint.
   */
  checkpoint(input: CheckpointInput, fx: EffectContext): Promise<void>;
  /**
   * Reads the archive's descriptions. Rejects with `unsupported` where the runtime or the machine can't
   * restore, and with `invalidRequest` for an archive that is not a checkpoint.
   */
  describe(input: DescribeInput, fx: EffectContext): Promise<CheckpointFacts>;
  /**
   * Copies the process images to the directory from which `restore` reads them, and the changed files into
   * the mounted root file system. `RuntimePort.destroy` removes what it leaves. Rejects when the archive is
   * not the one that was described.
   */
  import(input: ContainerInput & { readonly restore: RestoreSource }, fx: EffectContext): Promise<void>;
  /**
   * Takes the place of create and start: launches the monitor, which has the runtime restore the processes.
   * They run when the call settles; after a rejection neither they nor the process images are left.
   */
  restore(
    input: ContainerInput & { readonly effective: EffectiveContainer },
    fx: EffectContext,
  ): Promise<ProcessIdentity>;
}

const OFF = 'checkpoints are off: the configuration names no CRIU (runtime.criu)';

/** The port where no CRIU is configured. */
export const noCheckpoints: CheckpointPort = {
  checkpoint: async ({ attempted }) => fail('unsupported', `${attempted}: ${OFF}`),
  describe: async ({ attempted }) => fail('unsupported', `${attempted}: ${OFF}`),
  import: async ({ id }) => fail('unsupported', `restore container ${id}: ${OFF}`, { subject: id }),
  restore: async ({ id }) => fail('unsupported', `restore container ${id}: ${OFF}`, { subject: id }),
};
