/** The way out for a quarantined actor: its undo without its machine. Every undo is idempotent by id. */
import type { EffectContext } from '../ports/effect.ts';
import type { Ports } from '../ports/ports.ts';
import type { ContainerView, SandboxView } from '../views.ts';

/** Undoes a sandbox; with `remove` its record goes too. The first failure is thrown. */
export async function sweepSandbox(ports: Ports, view: SandboxView, remove: boolean, fx: EffectContext): Promise<void> {
  const input = { id: view.id, spec: view.spec };
  await ports.journal.append([{ type: 'sandbox.stopping', id: view.id }], { sync: true });
  await ports.runtime.destroyPause({ id: view.id, sandbox: view.spec }, fx);
  await ports.network.del(input, fx);
  await ports.host.unpinNamespaces(input, fx);
  if (!remove) return;
  await ports.host.removeSandboxCgroup(input, fx);
  await ports.host.removeSandboxFiles(input, fx);
  await ports.journal.append([{ type: 'sandbox.removed', id: view.id }], { sync: true });
}

/** Ends a container; with `remove` everything it had goes, its record last. */
export async function sweepContainer(
  ports: Ports,
  view: ContainerView,
  remove: boolean,
  fx: EffectContext,
): Promise<void> {
  const input = { id: view.id, handler: view.handler, spec: view.spec };
  await ports.runtime.killAll({ ...input, init: view.init }, fx);
  if (!remove) return;
  await ports.runtime.destroy(input, fx);
  await ports.storage.removeRootfs({ id: view.id, layers: view.image.layers }, fx);
  await ports.journal.append([{ type: 'container.removed', id: view.id }], { sync: true });
}
