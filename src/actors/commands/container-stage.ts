/** What the commands of containers work with, and the look-ups that several of them make. */
import { fail } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { Asker } from '../directory/ask.ts';
import type { ContainerInput } from '../container/container.context.ts';
import type { Ports } from '../../ports/ports.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';

export interface ContainerStage extends Asker {
  readonly ports: Ports;
  readonly ledger: Ledger;
  /** Starts the actor under its supervisor; its layers are held from now on. */
  startContainer(input: ContainerInput): void;
  /** Stop and Remove of a quarantined one. */
  sweepContainer(view: ContainerView, remove: boolean): Promise<void>;
}

/** The sandbox, when containers may be made and started in it. Throws `notFound` and `wrongState`. */
export function readySandbox(stage: ContainerStage, id: SandboxId, attempted: string): SandboxView {
  const sandbox = stage.directory.sandbox(id);
  if (sandbox === undefined || !sandbox.listed)
    fail('notFound', `${attempted}: no such sandbox`, { subject: id });
  if (!sandbox.ready)
    fail('wrongState', `${attempted}: the sandbox is ${sandbox.path}, not ready`, { subject: id });
  return sandbox;
}

/** The container, quarantined ones included. Throws `notFound`. */
export function existingContainer(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  return (
    stage.directory.container(id) ?? fail('notFound', `${attempted}: no such container`, { subject: id })
  );
}
