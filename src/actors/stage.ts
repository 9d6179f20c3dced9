/** The dependencies of all commands together. */
import type { ContainerStage } from './commands/container-stage.ts';
import type { ImageStage } from './images/image-stage.ts';
import type { Sweeping } from './janitor/sweeping.ts';
import type { RecoveryStage } from './recovery/reconcile.ts';
import type { SandboxStage } from './commands/sandbox-stage.ts';

/** The dependencies of all commands, and the janitor's state. */
export interface CommandStage extends SandboxStage, ContainerStage, ImageStage, RecoveryStage {
  readonly sweeping: Sweeping;
}
