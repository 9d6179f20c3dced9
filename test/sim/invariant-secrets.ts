/** S91: no file has the secrets of an older version's records once new records were written. */
import type { Broken } from './broken.ts';
import { OLD_SECRET } from './older-journal.ts';
import type { World } from './world.ts';

/** A file with one; called at the end. */
export function leftOfSecrets({ disk, made }: World): Broken | undefined {
  if (made.olderJournal === 0) return undefined;
  const name = disk.list().find((one) => Buffer.from(disk.read(one) ?? []).includes(OLD_SECRET));
  return name === undefined
    ? undefined
    : { invariant: 'S91', detail: `${name} has a secret of an older version` };
}
