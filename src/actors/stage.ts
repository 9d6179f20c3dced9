/** What all commands together work with. */
import type { ContainerStage } from './commands/container-stage.ts';
import type { ImageStage } from './images/image-commands.ts';
import type { Sweeping } from './janitor/sweeping.ts';
import type { SandboxStage } from './commands/sandbox-stage.ts';

/** Everything the commands need. */
export interface Stage extends SandboxStage, ContainerStage, ImageStage {
  readonly sweeping: Sweeping;
}
