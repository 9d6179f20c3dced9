/** What other programs make of a layer: GNU tar, and containers/storage through skopeo. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { imageOf, layerOfTar } from '../../support/registry/images.ts';
import { writeOciLayout } from '../../support/registry/oci-layout.ts';
import { run, runOrThrow } from '../../support/run.ts';

/**
 * Extracts the archive into the directory as root.
 * @param replacesTrees a file takes the place of a whole directory; but then a directory's second entry does, too
 */
export async function byGnuTar(tar: Buffer, directory: string, replacesTrees = false): Promise<void> {
  const file = `${directory}.tar`;
  writeFileSync(file, tar);
  mkdirSync(directory, { mode: 0o755 });
  const { code, stderr } = await run(
    [
      'tar',
      '--warning=no-timestamp',
      '--xattrs',
      '--xattrs-include=*',
      '--numeric-owner',
      '--same-owner',
      '-xpf',
      file,
      '-C',
      directory,
      ...(replacesTrees ? ['--recursive-unlink'] : []),
      // without it, a directory's own time is set when the archive leaves it for the first time, and changes again when
      // it comes back
      '--delay-directory-restore',
    ],
    { env: { LC_ALL: 'C' } },
  );
  // what it says of a directory that a later entry has replaced
  const gone =
    /: Cannot (?:utime|stat|change (?:ownership|mode)|set '[^']*' extended attribute)|: Directory renamed before|due to previous errors$|Removing leading|Substituting|Extracting contiguous files as regular/u;
  const wrong = stderr.split('\n').filter((line) => line !== '' && !gone.test(line));
  if (wrong.length > 0 || ![0, 2].includes(code))
    throw new Error(`tar -x of ${file} ended with ${code}: ${wrong.join('\n')}`);
  rmSync(file);
}

/** Why there is no skopeo; undefined when there is. */
export function noSkopeo(): string | undefined {
  return existsSync('/usr/bin/skopeo')
    ? undefined
    : '/usr/bin/skopeo is missing (Debian: apt-get install skopeo)';
}

/**
 * Copies an image of these layers into a containers-storage of the driver vfs, in which each layer is a directory with
 * all that the layers up to it show. Answers these directories, lowest first.
 */
export async function bySkopeo(layers: readonly Buffer[], directory: string): Promise<readonly string[]> {
  const layout = join(directory, 'layout');
  const image = imageOf(layers.map((tar) => layerOfTar(tar, 'none')));
  writeOciLayout(layout, 'x', image);
  const [store, state] = [join(directory, 'store'), join(directory, 'state')];
  await runOrThrow([
    '/usr/bin/skopeo',
    '--insecure-policy',
    'copy',
    '-q',
    `oci:${layout}:x`,
    `containers-storage:[vfs@${store}+${state}]localhost/x:x`,
  ]);
  return layersOf(store).map((id) => join(store, 'vfs/dir', id));
}

/** Their ids in containers/storage, lowest first. */
function layersOf(store: string): readonly string[] {
  const records = JSON.parse(readFileSync(join(store, 'vfs-layers/layers.json'), 'utf8')) as readonly {
    readonly id: string;
    readonly parent?: string;
  }[];
  const ids: string[] = [];
  for (let next = records.find(({ parent }) => parent === undefined); next !== undefined;) {
    const { id } = next;
    ids.push(id);
    next = records.find(({ parent }) => parent === id);
  }
  return ids;
}
