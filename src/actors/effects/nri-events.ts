/**
 * What NRI plugins hear around the effects of sandboxes and containers. It is an effect of its own (`nri`), with its own
 * bound, that introspection shows; where no plugin is, it is nothing at all, and the machines don't know of it.
 *
 * After a crash an effect is done again, and so is its news. Plugins are told of the whole node when they come back to a
 * daemon that was started anew, so nothing that they were not told is lost for good; no news is kept on record.
 */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Activity } from './activity.ts';
import type { Around, Owned } from './effect-logic.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { NriContainerEvent, NriPodEvent } from '../../ports/nri.ts';
import type { Ports } from '../../ports/ports.ts';

/** `exit`: of a container that has ended, where the effect is told of it. */
type Of<Id> = Owned & { readonly id: Id; readonly exit?: ExitFact | undefined };
type Tell<Id> = (input: Of<Id>, fx: EffectContext) => Promise<void>;

/** News of containers. */
export function containerNews(ports: Pick<Ports, 'nri'>, activity: Activity) {
  return newsOf<ContainerId, NriContainerEvent>(
    ports,
    activity,
    (news) =>
      ({ id, exit }, fx) =>
        ports.nri.notifyContainer(news, id, fx, exit),
  );
}

/** News of sandboxes. */
export function podNews(ports: Pick<Ports, 'nri'>, activity: Activity) {
  return newsOf<SandboxId, NriPodEvent>(
    ports,
    activity,
    (news) =>
      ({ id }, fx) =>
        ports.nri.notifyPod(news, id, fx),
  );
}

function newsOf<Id, News>(ports: Pick<Ports, 'nri'>, activity: Activity, telling: (news: News) => Tell<Id>) {
  const run = (tell: Tell<Id>, input: Of<Id>, signal: AbortSignal): Promise<void> =>
    activity.run(input.owner, 'nri', portLimits.pluginsMs, signal, (fx) => tell(input, fx));
  // what has happened has happened: a plugin that can't be told keeps nothing from going on
  const told = (tell: Tell<Id>, input: Of<Id>, signal: AbortSignal): Promise<void> =>
    run(tell, input, signal).catch(() => undefined);
  return {
    /** The effect is begun only when no plugin refuses. */
    asked: (news: News): Around<Of<Id>> => ({
      before: (input, signal) => (ports.nri.isActive() ? run(telling(news), input, signal) : undefined),
    }),
    before: (news: News): Around<Of<Id>> => ({
      before: (input, signal) => (ports.nri.isActive() ? told(telling(news), input, signal) : undefined),
    }),
    after: (news: News): Around<Of<Id>> => ({
      after: (input, signal) => (ports.nri.isActive() ? () => told(telling(news), input, signal) : undefined),
    }),
  };
}
