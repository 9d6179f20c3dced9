import type { Troupe } from './troupe.ts';

/**
 * Why the node is not ready for pods of the default handler: the one source of RuntimeReady in Status, of `troupe
 * status` and of the metric `troupe_ready`. Undefined when commands are accepted and recorded, and that handler works.
 */
export function whyNotReady(
  troupe: Pick<Troupe, 'notReadyReason' | 'writeRefusal' | 'handlers'>,
): string | undefined {
  const refusal = troupe.notReadyReason() ?? troupe.writeRefusal();
  if (refusal !== undefined) return refusal;
  const standard = troupe.handlers().find(({ name }) => name === '');
  if (standard === undefined) return 'default runtime handler: not found';
  return standard.ready ? undefined : standard.reason;
}
