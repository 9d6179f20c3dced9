/** Checkpoints of running containers (CRIU): what their processes are, and what they wrote, in one archive each. */
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
  /** Absolute path of the archive to be: its directory is there, itself it is not. */
  readonly archive: string;
}

export interface CheckpointInput {
  /** Such as `CheckpointContainer <id>`. */
  readonly attempted: string;
  readonly containers: readonly CheckpointedContainer[];
  /** The archives' directory, if it is to hold nothing else: then it must be empty. */
  readonly emptyDirectory?: string;
}

export interface DescribeInput {
  /** Such as `CreateContainer <name>`. */
  readonly attempted: string;
  /** That the container is to have. */
  readonly handler: string;
  readonly from: RestoreSource['from'];
}

/** What an archive says of its container. Whoever made it chose every word. */
export interface CheckpointFacts {
  /** Of the descriptions (`sha256:…`). */
  readonly digest: string;
  /** Names that its image may have, the most exact one first; at least one. */
  readonly images: readonly string[];
  /** Places in the container that something from outside was mounted at. */
  readonly mounts: readonly string[];
  readonly tty: boolean;
}

export interface CheckpointPort {
  /**
   * Writes an archive of each, all of one moment: none goes on before all were read. When it settles they run again,
   * and with a failure or an abort no archive is left. Rejects with `unsupported` where runtime or machine can't.
   */
  checkpoint(input: CheckpointInput, fx: EffectContext): Promise<void>;
  /** Reads the descriptions. Rejects with `unsupported` where runtime or machine can't restore, with `invalidRequest` for what is no checkpoint. */
  describe(input: DescribeInput, fx: EffectContext): Promise<CheckpointFacts>;
  /**
   * Brings the images of the processes to where `restore` takes them from, and what was written into the mounted root
   * file system. What it leaves goes with `RuntimePort.destroy`. Rejects when the archive is not the one described.
   */
  import(input: ContainerInput & { readonly restore: RestoreSource }, fx: EffectContext): Promise<void>;
  /**
   * In the place of create and start: launches the monitor, which has the runtime restore the processes. They run when
   * it settles; after a rejection none is there, nor the images.
   */
  restore(
    input: ContainerInput & { readonly effective: EffectiveContainer },
    fx: EffectContext,
  ): Promise<ProcessIdentity>;
}

const OFF = 'checkpoints are off: the configuration names no CRIU (runtime.criu)';

/** Where none is configured. */
export const noCheckpoints: CheckpointPort = {
  checkpoint: async ({ attempted }) => fail('unsupported', `${attempted}: ${OFF}`),
  describe: async ({ attempted }) => fail('unsupported', `${attempted}: ${OFF}`),
  import: async ({ id }) => fail('unsupported', `restore container ${id}: ${OFF}`, { subject: id }),
  restore: async ({ id }) => fail('unsupported', `restore container ${id}: ${OFF}`, { subject: id }),
};
