/** What the commands of sandboxes work with. */
import type { Asker } from '../directory/ask.ts';
import type { Ports } from '../../ports/ports.ts';
import type { SelinuxLabels } from '../../ports/specs.ts';
import type { SandboxInput } from '../sandbox/sandbox.context.ts';
import type { SandboxView } from '../directory/views.ts';

export interface SandboxStage extends Asker {
  readonly ports: Ports;
  /** The machine's labels for containers; undefined where it has no SELinux. */
  readonly selinux: SelinuxLabels | undefined;
  /** Starts the actor under its supervisor. */
  startSandbox(input: SandboxInput): void;
  /** Stop and Remove of a quarantined one. */
  sweepSandbox(view: SandboxView, remove: boolean): Promise<void>;
}
