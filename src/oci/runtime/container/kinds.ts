/** Dispatches each step to the driver of its handler's kind: `oci` (runc's command line) or `vm` (a shim). */
import { toFault } from '../../../base/fault.ts';
import type { SandboxId } from '../../../base/ids.ts';
import type { ContainerInput, PauseInput, RuntimePort } from '../../../ports/runtime.ts';
import { clearUnreadable } from './unreadable.ts';
import type { DriverParts } from './parts.ts';

/** The steps of a container or a sandbox that differ by kind. */
export type KindSteps = Pick<
  RuntimePort,
  | 'create'
  | 'start'
  | 'update'
  | 'kill'
  | 'killAll'
  | 'delete'
  | 'destroy'
  | 'watch'
  | 'execSync'
  | 'startPause'
  | 'destroyPause'
>;

interface KindParts extends Pick<DriverParts, 'table' | 'conditions' | 'log'> {
  /** Whether the pod has the record of a shim. */
  readonly hasShim: (id: SandboxId) => Promise<boolean>;
}

export function stepsByKind(parts: KindParts, oci: KindSteps, vm: KindSteps): KindSteps {
  const { table } = parts;
  const by = (handler: string): KindSteps => (table.resolve(handler).kind === 'vm' ? vm : oci);
  const ofSandbox = ({ sandbox }: PauseInput): string => sandbox.runtime?.name ?? sandbox.handler;
  // what exists must end, whatever became of its handler
  const ending = async (handler: string, id: SandboxId): Promise<KindSteps> => {
    if (table.isUnknown(handler)) await recallUnknown(parts, handler, id);
    return by(handler);
  };
  const endingOf = ({ handler, spec }: ContainerInput): Promise<KindSteps> =>
    ending(handler, spec.key.sandboxId);
  // async, so that an unknown handler rejects, as every other fault of these methods does
  return {
    create: async (input, fx) => by(input.handler).create(input, fx),
    start: async (input, fx) => by(input.handler).start(input, fx),
    update: async (input, fx) => by(input.handler).update(input, fx),
    kill: async (input, fx) => (await endingOf(input)).kill(input, fx),
    killAll: async (input, fx) => (await endingOf(input)).killAll(input, fx),
    delete: async (input, fx) => (await endingOf(input)).delete(input, fx),
    destroy: async (input, fx) => {
      await (await endingOf(input)).destroy(input, fx);
      clearUnreadable(parts, 'container', input.id);
    },
    watch: (input) => {
      // a start watches what runs, and must not fail by one of them
      if (table.isUnknown(input.handler))
        void endingOf(input)
          .then((steps) => steps.watch(input))
          .catch((thrown: unknown) =>
            parts.log.error({ id: input.id, fault: toFault(thrown) }, 'watch container failed'),
          );
      else by(input.handler).watch(input);
    },
    execSync: async (input, fx) => by(input.handler).execSync(input, fx),
    startPause: async (input, fx) => by(ofSandbox(input)).startPause(input, fx),
    destroyPause: async (input, fx) => {
      await (await ending(ofSandbox(input), input.id)).destroyPause(input, fx);
      clearUnreadable(parts, 'pause process', input.id);
    },
  };
}

/** Only a pod with a shim has the record of one. After a reboot none has, and there is no process to end either. */
async function recallUnknown(
  { table, hasShim, log }: KindParts,
  handler: string,
  id: SandboxId,
): Promise<void> {
  const kind = (await hasShim(id)) ? 'vm' : 'oci';
  log.warn(
    { handler, sandbox: id, kind },
    'pod of a handler that is not known any more: it is ended without',
  );
  table.recall(handler, kind);
}
