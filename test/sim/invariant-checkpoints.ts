/**
 * Checkpoints and restores. I15: no archive has its name before it is whole, and of a pod's there are all or none. I7:
 * one that was promised is there, over every crash. I10: nothing is held still, and no part is there, but for a
 * checkpoint under way. I1: what is to be restored has its images until then and no process; what ended by a failed
 * restore has none either.
 */
import type { ContainerView } from '../../src/actors/directory/views.ts';
import { partialOf } from './checkpoint-model.ts';
import type { Broken } from './broken.ts';
import type { World } from './world.ts';

const PART = partialOf('');

/** What holds also while no daemon serves. */
export function checkArchives({ kernel, history }: World): Broken | undefined {
  const { archives } = kernel.checkpoints;
  for (const [path, { isWhole }] of archives)
    if (!isWhole && !path.endsWith(PART))
      return { invariant: 'I15', detail: `archive ${path} has its name and is not whole` };
  for (const [path, { answer }] of history.archives)
    if (answer === 'written' && !archives.has(path))
      return { invariant: 'I7', detail: `archive ${path} was written and is not present` };
  return undefined;
}

/** What the current instance of the daemon guarantees. */
export function checkCheckpoints(
  { kernel, scheduler, history }: World,
  containers: readonly ContainerView[],
): Broken | undefined {
  const { works, restores, archives } = kernel.checkpoints;
  const broken = (invariant: string, detail: string): Broken => ({ invariant, detail });
  for (const [id, { epoch }] of works)
    if (epoch !== scheduler.epoch)
      return broken('I10', `a checkpoint of ${id} that an earlier boot began was not undone`);
  for (const id of kernel.frozen.keys())
    if (!works.has(id)) return broken('I10', `container ${id} is held still and nobody reads it`);
  for (const path of archives.keys())
    if (path.endsWith(PART) && !isWorkedOn(works, path))
      return broken('I15', `${path} is a part that nobody works on`);
  for (const [path, { answer, together }] of history.archives) {
    if (answer !== 'unsure' || works.size > 0 || !together.every((one) => history.archives.has(one)))
      continue;
    const lacks = together.find((one) => !archives.has(one));
    if (archives.has(path) && lacks !== undefined)
      return broken('I15', `archive ${path} of a pod that was cut off is there without ${lacks}`);
  }
  for (const { id, path, spec, criState } of containers) {
    if (spec.restore === undefined) continue;
    if (path === 'created' && restores.get(id)?.hasImages !== true)
      return broken('I1', `container ${id} is to be restored and its checkpoint is not there`);
    if ((path === 'created' || criState === 'exited') && kernel.processOf('init', id) !== undefined)
      return broken('I1', `container ${id} is reported as ${criState} (${path}) and has a process`);
  }
  return undefined;
}

function isWorkedOn(works: ReadonlyMap<string, { readonly archive: string }>, path: string): boolean {
  for (const { archive } of works.values()) if (partialOf(archive) === path) return true;
  return false;
}

/** After everything was removed: archives are the clients' own. */
export function leftOfCheckpoints({ kernel, history }: World): Broken | undefined {
  const { works, archives } = kernel.checkpoints;
  const [work] = works.keys();
  if (work !== undefined)
    return { invariant: 'I2', detail: `the directory of a checkpoint of ${work} is left` };
  const refused = [...archives.keys()].find((path) => history.archives.get(path)?.answer === 'refused');
  return refused === undefined
    ? undefined
    : { invariant: 'I2', detail: `the archive ${refused} was refused and is left` };
}
