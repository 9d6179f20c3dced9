/** Which method of a plugin receives which event. */
import type { EffectContext } from '../ports/effect.ts';
import type { NriContainerEvent, NriContainer, NriPodEvent } from '../ports/nri.ts';
import { Event, Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import type { Plugin } from './plugin.ts';

const { method } = PluginService;
type Fx = Pick<EffectContext, 'signal'>;
interface About {
  readonly pod: PodMessage;
  readonly container: ContainerMessage;
}
/** Sends an event; returns the updates of other containers that the plugin requests. */
type Send<M> = (plugin: Plugin, message: M, fx: Fx) => Promise<readonly ContainerUpdate[]>;

const nothing = (): readonly ContainerUpdate[] => [];

export const POD_CALLS: Readonly<Record<NriPodEvent, Send<Pick<About, 'pod'>>>> = {
  RunPodSandbox: (plugin, message, fx) =>
    plugin.ask(Event.RUN_POD_SANDBOX, method.runPodSandbox, message, fx).then(nothing),
  PostUpdatePodSandbox: (plugin, message, fx) =>
    plugin.ask(Event.POST_UPDATE_POD_SANDBOX, method.postUpdatePodSandbox, message, fx).then(nothing),
  StopPodSandbox: (plugin, message, fx) =>
    plugin.ask(Event.STOP_POD_SANDBOX, method.stopPodSandbox, message, fx).then(nothing),
  RemovePodSandbox: (plugin, message, fx) =>
    plugin.ask(Event.REMOVE_POD_SANDBOX, method.removePodSandbox, message, fx).then(nothing),
};

export const CONTAINER_CALLS: Readonly<Record<NriContainerEvent, Send<About>>> = {
  PostCreateContainer: (plugin, message, fx) =>
    plugin.ask(Event.POST_CREATE_CONTAINER, method.postCreateContainer, message, fx).then(nothing),
  StartContainer: (plugin, message, fx) =>
    plugin.ask(Event.START_CONTAINER, method.startContainer, message, fx).then(nothing),
  PostStartContainer: (plugin, message, fx) =>
    plugin.ask(Event.POST_START_CONTAINER, method.postStartContainer, message, fx).then(nothing),
  PostUpdateContainer: (plugin, message, fx) =>
    plugin.ask(Event.POST_UPDATE_CONTAINER, method.postUpdateContainer, message, fx).then(nothing),
  StopContainer: (plugin, message, fx) =>
    plugin
      .ask(Event.STOP_CONTAINER, method.stopContainer, message, fx)
      .then((answer) => answer?.update ?? []),
  RemoveContainer: (plugin, message, fx) =>
    plugin.ask(Event.REMOVE_CONTAINER, method.removeContainer, message, fx).then(nothing),
};

/** Events that a plugin may refuse; an error at any other event is only logged. */
export const REFUSABLE: ReadonlySet<string> = new Set<NriPodEvent | NriContainerEvent>([
  'RunPodSandbox',
  'StartContainer',
]);

/** The container's state that the event implies; the node's own view has it only once it is journalled. */
export const STATE_AFTER: Readonly<Partial<Record<NriContainerEvent, Pick<NriContainer, 'criState'>>>> = {
  PostStartContainer: { criState: 'running' },
  StopContainer: { criState: 'exited' },
  RemoveContainer: { criState: 'exited' },
};
