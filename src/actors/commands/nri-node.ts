/** The node as NRI plugins see and change it: the directory for reads, the commands of CRI clients for changes. */
import { innerCause } from '../../base/cause.ts';
import { actorLimits } from '../bounds.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { setLimits } from './set-limits.ts';
import { stopContainer } from './stop-container.ts';
import type { NriNode } from '../../ports/nri.ts';

/** The node, backed by this stage's directory and commands. */
export function nriNode(stage: ContainerStage): NriNode {
  const { directory, clock } = stage;
  const call = (signal: AbortSignal, boundMs: number): Call => ({
    cause: innerCause('nri'),
    signal,
    deadlineMonoMs: clock.monoMs() + boundMs,
  });
  return {
    pods: () => directory.sandboxes().filter((view) => view.listed && view.ready),
    containers: () => directory.containers().filter((view) => view.listed && view.criState !== 'exited'),
    pod: (id) => directory.sandbox(id),
    container: (id) => directory.container(id),
    // uses journal and runtime only: asking plugins here could wait for the plugin that waits for this update
    update: (id, change, signal) => setLimits(stage, id, change, call(signal, actorLimits.runtimeUpdateMs)),
    evict: (id, _reason, signal) => stopContainer(stage, id, 0, call(signal, actorLimits.runtimeEndMs)),
  };
}
