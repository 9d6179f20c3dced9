/** Checkpoints of running containers (CRIU): what their processes are, and what they wrote, in one archive each. */
import { fail } from '../../base/fault.ts';
import type { EffectContext } from './effect.ts';
import type { ContainerInput } from './runtime.ts';
import type { ImageUse } from './specs.ts';

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

export interface CheckpointPort {
  /**
   * Writes an archive of each, all of one moment: none goes on before all were read. When it settles they run again,
   * and with a failure or an abort no archive is left. Rejects with `unsupported` where runtime or machine can't.
   */
  checkpoint(input: CheckpointInput, fx: EffectContext): Promise<void>;
}

/** Where none is configured. */
export const noCheckpoints: CheckpointPort = {
  checkpoint: async ({ attempted }) =>
    fail('unsupported', `${attempted}: checkpoints are off: the configuration names no CRIU (runtime.criu)`),
};
