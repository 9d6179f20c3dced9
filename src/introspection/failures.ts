/** Removed actors whose removal followed a failure: the pod whose network failed, the pull with wrong credentials. */
import type { View } from '../actors/directory/views.ts';
import { introspectionLimits } from './bounds.ts';
import type { Recorder } from './recorder.ts';

/** Newest first. One that a client stopped, removed or replaced while it was being made has not failed. */
export function removedFailures(recorder: Recorder, kind: string): readonly View[] {
  return recorder
    .removed()
    .map(({ view }) => view)
    .filter((view) => (kind === '' || view.kind === kind) && hasFailed(view))
    .slice(0, introspectionLimits.failures);
}

function hasFailed(view: View): boolean {
  if (view.kind === 'container' && view.exit?.reason === 'OOMKilled') return true;
  return view.fault !== undefined && view.fault.kind !== 'cancelled';
}
