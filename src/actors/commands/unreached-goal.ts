/** The fault of a Stop or Remove that did not reach its goal. */
import { restated } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { ContainerView, SandboxView } from '../directory/views.ts';

/** The reason why the actor settled in its present state although it was to be stopped or removed. */
export function unreachedGoal(
  { fault, path, address }: ContainerView | SandboxView,
  attempted: string,
): Fault {
  const reason = fault?.message ?? `still in state ${path}`;
  return restated(fault?.kind ?? 'outside', `${attempted}: ${reason}`, fault, {
    subject: address,
    retryable: true,
  });
}
