/** Stops and removes quarantined sandboxes and containers without their machines. Every undo is idempotent by id. */
import type { EffectContext } from '../../ports/effect.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';
import { endedAfter } from '../effects/times.ts';

/**
 * Stops a sandbox; with `remove`, also undoes the other steps and records the removal.
 * @returns the sandbox afterwards
 * @throws the first failure
 */
export async function sweepSandbox(
  ports: Ports,
  view: SandboxView,
  remove: boolean,
  fx: EffectContext,
): Promise<SandboxView> {
  const input = { id: view.id, spec: view.spec };
  // before the record: a disk that refuses it must not keep the process alive (F21, F25). Without the record, the next
  // boot finds no pause process and stops the sandbox too
  await ports.runtime.destroyPause({ id: view.id, sandbox: view.spec }, fx);
  const removal = remove ? { removal: true } : {};
  await ports.journal.append([{ type: 'sandbox.stopping', id: view.id, ...removal }], { sync: true });
  await ports.network.del(input, fx);
  await ports.host.unpinNamespaces(input, fx);
  const stopped = { ...view, ready: false, stopCleanupPending: false };
  if (!remove) return stopped;
  await ports.host.removeSandboxCgroup(input, fx);
  await ports.host.removeSandboxFiles(input, fx);
  await ports.journal.append([{ type: 'sandbox.removed', id: view.id }], { sync: true });
  return stopped;
}

/**
 * Kills a container; with `remove`, also deletes all that it has and then records the removal.
 * @returns the container afterwards
 * @throws the first failure
 */
export async function sweepContainer(
  ports: Ports,
  view: ContainerView,
  remove: boolean,
  fx: EffectContext,
): Promise<ContainerView> {
  const input = { id: view.id, handler: view.handler, spec: view.spec };
  await ports.runtime.killAll({ ...input, init: view.init }, fx);
  const exit =
    view.exit ??
    (await ports.runtime.readExit(input, fx)) ??
    endedAfter(unknownExit(ports), view.createdAtNs, view.startedAtNs);
  const ended = { ...view, criState: 'exited' as const, exit };
  if (!remove) {
    // recorded here in place of the machine; the next boot finds it exited and releases what it has
    if (view.exit === undefined) {
      const { id, startedAtNs, startUnrecorded } = view;
      const unsure = startUnrecorded ? { startUnrecorded } : {};
      await ports.journal.append([{ type: 'container.exited', id, exit, startedAtNs, ...unsure }], {
        sync: true,
      });
    }
    return ended;
  }
  await ports.runtime.destroy(input, fx);
  await ports.storage.removeRootfs({ id: view.id, layers: view.image.layers }, fx);
  await ports.journal.append([{ type: 'container.removed', id: view.id }], { sync: true });
  return ended;
}

/** The exit of a container whose exit code nobody read, because its actor is quarantined. */
function unknownExit({ clock }: Ports): ExitFact {
  return {
    exitCode: 255,
    finishedAtNs: clock.nowNs(),
    oomKilled: false,
    reason: 'Unknown',
    message: 'exit code unknown: killed after its actor crashed too often',
    observedBy: 'recovery',
  };
}
