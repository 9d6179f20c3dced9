/** The dependencies of the sandbox commands. */
import type { Asker } from '../directory/ask.ts';
import type { Ports } from '../../ports/ports.ts';
import type { MachineLabels } from '../../ports/specs.ts';
import type { SandboxMachineInput } from '../sandbox/sandbox.context.ts';
import type { SandboxView } from '../directory/views.ts';

export interface SandboxStage extends Asker {
  readonly ports: Ports;
  /** The machine's default labels for containers; undefined on a machine without SELinux. */
  readonly selinux: MachineLabels | undefined;
  /** Starts the sandbox's actor under its supervisor. */
  startSandbox(input: SandboxMachineInput): void;
  /** Stops, or removes, a quarantined sandbox without its actor. */
  sweepSandbox(view: SandboxView, remove: boolean): Promise<void>;
}
