/** The fault of a Stop or Remove that did not reach its goal. */
import { fault, quotesOutput } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { SandboxView } from '../directory/views.ts';

/** The reason why the sandbox settled in its present state although it was to be stopped or removed. */
export function unreachedGoal(view: SandboxView, attempted: string): Fault {
  const why = view.fault;
  const reason = why?.message ?? `still in state ${view.path}`;
  return fault(why?.kind ?? 'outside', `${attempted}: ${reason}`, {
    subject: view.address,
    retryable: true,
    quotesOutput: quotesOutput(why),
  });
}
