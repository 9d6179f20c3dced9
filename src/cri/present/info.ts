/**
 * The `info` map of verbose answers: JSON texts for people. The keys that crictl and scripts read are those of both
 * peers (`.info.pid`, `.info.runtimeSpec`); troupe's own are below `troupe`. No environment, no credentials.
 */
import type { Activity } from '../../actors/effects/activity.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';
import { encodePlain } from '../../base/codec.ts';

type Info = Record<string, string>;

/** The info of a sandbox. `runtimeSpec` is the JSON of config.json; undefined where there is no such file. */
export function sandboxInfo(
  view: SandboxView,
  activity: Pick<Activity, 'describe'>,
  runtimeSpec: string | undefined,
): Info {
  return {
    info: withSpec(runtimeSpec, {
      pid: view.pause?.pid ?? 0,
      privileged: view.spec.privileged,
      troupe: where(view, activity),
    }),
  };
}

/** The info of a container, as `sandboxInfo`. */
export function containerInfo(
  view: ContainerView,
  activity: Pick<Activity, 'describe'>,
  runtimeSpec: string | undefined,
): Info {
  return {
    info: withSpec(runtimeSpec, {
      sandboxID: view.spec.key.sandboxId,
      pid: view.criState === 'exited' ? 0 : (view.init?.pid ?? 0),
      privileged: view.spec.security.privileged,
      troupe: {
        ...where(view, activity),
        handler: view.handler,
        exit: exitOf(view),
        startFault: view.startFault?.message,
      },
    }),
  };
}

export function imageInfo(image: ImageRecord): Info {
  const { architecture, os, user, entrypoint, cmd, workingDir, stopSignal, volumes, labels } = image.config;
  return {
    info: encodePlain({
      labels,
      imageSpec: {
        architecture,
        os,
        config: {
          User: user,
          Entrypoint: entrypoint,
          Cmd: cmd,
          WorkingDir: workingDir,
          StopSignal: stopSignal,
          Volumes: Object.fromEntries(volumes.map((volume) => [volume, {}])),
          Labels: labels,
        },
        rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.diffId) },
      },
    }),
  };
}

/** Inserts the text of `runtimeSpec` unparsed: it may hold numbers that JavaScript would round. */
function withSpec(runtimeSpec: string | undefined, rest: object): string {
  const text = encodePlain(rest);
  return runtimeSpec === undefined ? text : `${text.slice(0, -1)},"runtimeSpec":${runtimeSpec}}`;
}

/** The actor's state and what it waits for: why a pod hangs. */
function where(view: SandboxView | ContainerView, activity: Pick<Activity, 'describe'>): object {
  return {
    state: view.path,
    waitingOn: activity.describe(view.address),
    fault: view.fault?.message,
    cleanupPending: view.cleanupPending,
  };
}

function exitOf({ exit }: ContainerView): object | undefined {
  return exit === undefined ? undefined : { observedBy: exit.observedBy, oomKilled: exit.oomKilled };
}
