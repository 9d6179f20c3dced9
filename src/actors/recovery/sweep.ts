/** The way out for a quarantined actor: its undo without its machine. Every undo is idempotent by id. */
import type { EffectContext } from '../../ports/effect.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';
import { endedAfter } from '../effects/times.ts';

/** Undoes a sandbox; with `remove` its record goes too. Gives what it is afterwards; the first failure is thrown. */
export async function sweepSandbox(
  ports: Ports,
  view: SandboxView,
  remove: boolean,
  fx: EffectContext,
): Promise<SandboxView> {
  const input = { id: view.id, spec: view.spec };
  // first: a disk that refuses the record must not keep a process alive (F21, F25); a start finds it ended whatever it reads
  await ports.runtime.destroyPause({ id: view.id, sandbox: view.spec }, fx);
  await ports.journal.append([{ type: 'sandbox.stopping', id: view.id }], { sync: true });
  await ports.network.del(input, fx);
  await ports.host.unpinNamespaces(input, fx);
  const stopped = { ...view, ready: false, stopCleanupPending: false };
  if (!remove) return stopped;
  await ports.host.removeSandboxCgroup(input, fx);
  await ports.host.removeSandboxFiles(input, fx);
  await ports.journal.append([{ type: 'sandbox.removed', id: view.id }], { sync: true });
  return stopped;
}

/** Ends a container; with `remove` everything it had goes, its record last. Gives what it is afterwards. */
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
    endedAfter(unheard(ports), view.createdAtNs, view.startedAtNs);
  const ended = { ...view, criState: 'exited' as const, exit };
  if (!remove) {
    // a machine would record it; the next start finds it ended and releases what it had
    if (view.exit === undefined) {
      await ports.journal.append(
        [{ type: 'container.exited', id: view.id, exit, startedAtNs: view.startedAtNs }],
        { sync: true },
      );
    }
    return ended;
  }
  await ports.runtime.destroy(input, fx);
  await ports.storage.removeRootfs({ id: view.id, layers: view.image.layers }, fx);
  await ports.journal.append([{ type: 'container.removed', id: view.id }], { sync: true });
  return ended;
}

/** Its own end is heard by nobody: the actor that would is dead. */
function unheard({ clock }: Ports): ExitFact {
  return {
    exitCode: 255,
    finishedAtNs: clock.nowNs(),
    oomKilled: false,
    reason: 'Unknown',
    message: 'exit code unknown: it was killed after its actor had crashed too often',
    observedBy: 'recovery',
  };
}
