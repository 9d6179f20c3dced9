/** Why a sandbox stayed where it is. */
import { fault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { SandboxView } from '../directory/views.ts';

/** The fault of a Stop or Remove that has settled without its goal. */
export function stayed(view: SandboxView, attempted: string): Fault {
  const why = view.fault;
  const reason = why?.message ?? `it stays in state ${view.path}`;
  return fault(why?.kind ?? 'outside', `${attempted}: ${reason}`, { subject: view.address, retryable: true });
}
