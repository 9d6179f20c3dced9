/**
 * Notifies NRI plugins around the effects of sandboxes and containers. Each notification is an effect of its own
 * (`nri`) with its own bound, so that introspection shows it. Without plugins nothing runs, and the machines do not
 * know of NRI.
 *
 * An effect that is repeated after a crash repeats its notification. Notifications are not recorded: plugins receive
 * the state of the whole node when they reconnect to a restarted daemon, so none that was missed is lost for good.
 */
import { fromPromise } from 'xstate';
import type { PromiseActorLogic } from 'xstate';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Activity } from './activity.ts';
import type { Around, Owned } from './effect-logic.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { NriContainerEvent, NriPodEvent } from '../../ports/nri.ts';
import type { Ports } from '../../ports/ports.ts';

/** `exit`: set for an effect of a container that has exited. */
type Of<Id> = Owned & { readonly id: Id; readonly exit?: ExitFact | undefined };
type Notify<Id> = (input: Of<Id>, fx: EffectContext) => Promise<void>;

/** Notifications about containers. */
export function containerNri(ports: Pick<Ports, 'nri'>, activity: Activity) {
  return notificationsOf<ContainerId, NriContainerEvent>(
    ports,
    activity,
    (event) =>
      ({ id, exit }, fx) =>
        ports.nri.notifyContainer(event, id, fx, exit),
  );
}

/** Notifications about sandboxes. */
export function podNri(ports: Pick<Ports, 'nri'>, activity: Activity) {
  return notificationsOf<SandboxId, NriPodEvent>(
    ports,
    activity,
    (event) =>
      ({ id }, fx) =>
        ports.nri.notifyPod(event, id, fx),
  );
}

function notificationsOf<Id, NriEvent>(
  ports: Pick<Ports, 'nri'>,
  activity: Activity,
  notifyOf: (event: NriEvent) => Notify<Id>,
) {
  const run = (notify: Notify<Id>, input: Of<Id>, signal: AbortSignal): Promise<void> =>
    activity.run(input.owner, 'nri', portLimits.pluginsMs, signal, (fx) => notify(input, fx));
  // a plugin can't veto these, so an unreachable one does not stop the effect
  const runIgnoringFaults = (notify: Notify<Id>, input: Of<Id>, signal: AbortSignal): Promise<void> =>
    run(notify, input, signal).catch(() => undefined);
  return {
    /** An effect that asks the plugins; it succeeds at once without plugins. */
    ask: (event: NriEvent): PromiseActorLogic<void, Of<Id>> =>
      fromPromise(({ input, signal }) =>
        ports.nri.isActive() ? run(notifyOf(event), input, signal) : Promise.resolve(),
      ),
    /** An effect that notifies the plugins; it succeeds whatever they answer, and at once without plugins. */
    notify: (event: NriEvent): PromiseActorLogic<void, Of<Id>> =>
      fromPromise(({ input, signal }) =>
        ports.nri.isActive() ? runIgnoringFaults(notifyOf(event), input, signal) : Promise.resolve(),
      ),
    /** Asks the plugins first; the effect begins only if none refuses. */
    askBefore: (event: NriEvent): Around<Of<Id>> => ({
      before: (input, signal) => (ports.nri.isActive() ? run(notifyOf(event), input, signal) : undefined),
    }),
    /** Notifies the plugins before the effect. */
    notifyBefore: (event: NriEvent): Around<Of<Id>> => ({
      before: (input, signal) =>
        ports.nri.isActive() ? runIgnoringFaults(notifyOf(event), input, signal) : undefined,
    }),
    /** Notifies the plugins after the effect has succeeded. */
    notifyAfter: (event: NriEvent): Around<Of<Id>> => ({
      after: (input, signal) =>
        ports.nri.isActive() ? () => runIgnoringFaults(notifyOf(event), input, signal) : undefined,
    }),
  };
}
