/** The runtime handlers of the twin, which a reload of the configuration changes. */
import { fail } from '../../src/base/fault.ts';
import type { HandlerStatus } from '../../src/ports/runtime.ts';

/** The handlers of the configuration, which a reload changes. */
export interface Handlers {
  readonly defaultHandler: string;
  readonly removedHandler: string | undefined;
  knowsHandler(name: string): boolean;
}

/** The default one, and the name that it has. */
export const ONLY_RUNC: Handlers = {
  defaultHandler: 'runc',
  removedHandler: undefined,
  knowsHandler: (name) => name === '' || name === 'runc',
};
/** Its pods have a process from their start on. */
const VIRTUAL = 'vm';

/** As the driver reports them. */
export function handlerStatuses(handlers: Handlers): HandlerStatus[] {
  return ['', 'runc', ...(handlers === ONLY_RUNC ? [] : ['crun', VIRTUAL])]
    .filter((name) => name !== handlers.removedHandler)
    .map((name) => ({
      name,
      ready: true,
      reason: '',
      recursiveReadOnlyMounts: true,
      userNamespaces: true,
      ...(name === '' && handlers !== ONLY_RUNC ? { target: handlers.defaultHandler } : {}),
      ...(name === VIRTUAL ? { needsPause: true } : {}),
    }));
}

/** Refuses what is not configured. */
export function knows(handlers: Handlers, handler: string): void {
  if (!handlers.knowsHandler(handler))
    fail('notFound', `use runtime handler ${handler}: it is not configured`, { subject: handler });
}
