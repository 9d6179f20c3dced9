/** The dependencies of the container commands, and the look-ups that several of them share. */
import { fail } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { Asker } from '../directory/ask.ts';
import type { ContainerMachineInput } from '../container/container.context.ts';
import type { Ports } from '../../ports/ports.ts';
import type { MachineLabels } from '../../ports/specs.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { isAlive, takesContainers } from '../directory/phases.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';

export interface ContainerStage extends Asker {
  readonly ports: Ports;
  readonly ledger: Ledger;
  /** The machine's default labels for containers; undefined on a machine without SELinux. */
  readonly selinux: MachineLabels | undefined;
  /** Starts the container's actor under its supervisor; from now on its layers are kept. */
  startContainer(input: ContainerMachineInput): void;
  /** Stops, or removes, a quarantined container without its actor. */
  sweepContainer(view: ContainerView, remove: boolean): Promise<void>;
}

/** The sandbox, if containers may be created and started in it. Throws `notFound` or `wrongState`. */
export function readySandbox(stage: ContainerStage, id: SandboxId, attempted: string): SandboxView {
  const sandbox = stage.directory.sandbox(id);
  if (sandbox === undefined || !sandbox.listed)
    fail('notFound', `${attempted}: sandbox not found`, { subject: id });
  if (!takesContainers(sandbox))
    fail('wrongState', `${attempted}: the sandbox is ${sandbox.path}, not ready`, { subject: id });
  return sandbox;
}

/** The container, even if quarantined or not listed. Throws `notFound`. */
export function existingContainer(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  return (
    stage.directory.container(id) ?? fail('notFound', `${attempted}: container not found`, { subject: id })
  );
}

/** What the runtime needs to know of a container whose process is alive. Throws `notFound` or `wrongState`. */
export function runningContainer(stage: ContainerStage, id: ContainerId, attempted: string) {
  const view = stage.directory.container(id);
  if (view === undefined || !view.listed)
    fail('notFound', `${attempted}: container not found`, { subject: id });
  const { init } = view;
  if (!isAlive(view) || init === undefined) {
    fail('wrongState', `${attempted}: the container is ${view.path}, not running`, { subject: id });
  }
  return { id, handler: view.handler, spec: view.spec, init, address: view.address };
}
