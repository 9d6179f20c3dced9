/** Dispatches each step to the driver of its handler's kind: `oci` (runc's command line) or `vm` (a shim). */
import type { PauseInput, RuntimePort } from '../../../ports/runtime.ts';
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

export function stepsByKind(
  parts: Pick<DriverParts, 'table' | 'conditions'>,
  oci: KindSteps,
  vm: KindSteps,
): KindSteps {
  const { table } = parts;
  const by = (handler: string): KindSteps => (table.resolve(handler).kind === 'vm' ? vm : oci);
  const ofSandbox = ({ sandbox }: PauseInput): KindSteps => by(sandbox.runtime?.name ?? sandbox.handler);
  // async, so that an unknown handler rejects, as every other fault of these methods does
  return {
    create: async (input, fx) => by(input.handler).create(input, fx),
    start: async (input, fx) => by(input.handler).start(input, fx),
    update: async (input, fx) => by(input.handler).update(input, fx),
    kill: async (input, fx) => by(input.handler).kill(input, fx),
    killAll: async (input, fx) => by(input.handler).killAll(input, fx),
    delete: async (input, fx) => by(input.handler).delete(input, fx),
    destroy: async (input, fx) => {
      await by(input.handler).destroy(input, fx);
      clearUnreadable(parts, 'container', input.id);
    },
    watch: (input) => by(input.handler).watch(input),
    execSync: async (input, fx) => by(input.handler).execSync(input, fx),
    startPause: async (input, fx) => ofSandbox(input).startPause(input, fx),
    destroyPause: async (input, fx) => {
      await ofSandbox(input).destroyPause(input, fx);
      clearUnreadable(parts, 'pause process', input.id);
    },
  };
}
