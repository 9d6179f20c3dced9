/** What a seed changes around the daemon, and what its pods have besides the usual. */
import type { PodPlan } from './kubelet.ts';
import { randomStream } from './random.ts';
import type { Random } from './random.ts';
import { REFERENCES } from './storage-images-twins.ts';
import type { World } from './world.ts';

/** Each kind of change, per step; on in some seeds only. */
interface Moods {
  readonly policy: number;
  readonly network: number;
  readonly registry: number;
  readonly reload: number;
  readonly plugin: number;
  readonly busy: number;
}

export function drawMoods(random: Random): Moods {
  const sometimes = (chance: number, most: number): number =>
    random.chance(chance) ? random.next() * most : 0;
  return {
    policy: sometimes(0.15, 0.01),
    network: sometimes(0.15, 0.01),
    reload: sometimes(0.15, 0.01),
    plugin: sometimes(0.6, 0.02),
    busy: sometimes(0.2, 0.02),
    registry: sometimes(0.15, 0.01),
  };
}

export function changeSurroundings({ surroundings, kernel }: World, moods: Moods, dice: Random): void {
  if (dice.chance(moods.policy)) surroundings.changePolicy(dice.chance(0.4));
  if (dice.chance(moods.network)) surroundings.changeNetwork(dice.chance(0.4));
  if (dice.chance(moods.registry)) surroundings.changeRegistry(dice.chance(0.4));
  if (dice.chance(moods.reload)) surroundings.reload(dice);
  if (dice.chance(moods.plugin)) {
    if (dice.chance(0.3)) surroundings.changePlugin();
    else void surroundings.pluginActs(dice);
  }
  if (dice.chance(moods.busy)) {
    const owners = [...kernel.rootfs.keys(), ...kernel.files, ...kernel.cgroups];
    if (owners.length > 0) surroundings.makeBusy(dice.pick(owners), dice);
  }
}

/** Handlers, user namespaces, PID namespaces of others, image volumes and old lists, of few pods each. */
export function drawExtras(seed: number, n: number): Partial<PodPlan> {
  const random = randomStream(seed, `extras ${n}`);
  return {
    ...(random.chance(0.2) ? { handler: random.pick(['runc', 'crun', 'vm']) } : {}),
    ...(random.chance(0.1) ? { hasUserNamespace: true } : {}),
    ...(random.chance(0.15) ? { targets: true } : {}),
    ...(random.chance(0.15) ? { volume: random.pick(REFERENCES) } : {}),
    ...(random.chance(0.2) ? { staleMs: random.int(1500) } : {}),
  };
}
