/**
 * `troupe import`: images from a layout or an archive. This process serves the source like a registry at the place
 * where the daemon asks for imports (local-imports.ts), and then requests a pull, which does the rest.
 */
import { mkdir, stat } from 'node:fs/promises';
import { fail } from '../../base/fault.ts';
import { jsonObject } from '../../base/json-object.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import {
  selectImages,
  openSource,
  parseSource,
  type OpenedSource,
  type Location,
  type OfferedImage,
} from '../../oci/images/archive/image-source.ts';
import { serveImage } from '../../oci/images/archive/serve-image.ts';
import {
  importsDirectory,
  importSocketPath,
  offeredImport,
} from '../../oci/images/registry/local-imports.ts';
import { formatReference, parseReference } from '../../oci/images/model/reference.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { pullShown } from './pull.ts';

interface Taken {
  readonly reference: string;
  readonly id: string;
}

/** Prints the id of each image, with its name if there are several. */
export async function importImages(command: Command): Promise<number> {
  const { line, screen, json } = command;
  const location = await parseSource(line.words[0] ?? '');
  const source = await openSource(location);
  const taken: Taken[] = [];
  try {
    for (const [reference, image] of named(source, location, line.options['name'] ?? '')) {
      taken.push({ reference, id: await take(command, source, image, reference) });
    }
  } finally {
    await source.close();
  }
  if (json) writeJson(screen, { images: taken });
  else for (const { reference, id } of taken) screen.line(taken.length === 1 ? id : `${id} ${reference}`);
  return EXIT.ok;
}

/** The images to import and their names: one image under `--name`, else each under all the names in the source. */
function named(
  source: OpenedSource,
  location: Location,
  name: string,
): readonly (readonly [string, OfferedImage])[] {
  const images = selectImages(source, location);
  const where = `import ${location.transport}:${location.path}`;
  if (name !== '') {
    const [image, ...others] = images;
    if (image === undefined || others.length > 0)
      fail(
        'invalidRequest',
        `${where}: ${images.length} images for one name; select one with ${location.transport}:PATH:WHICH`,
      );
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      fail('invalidRequest', `${where}: --name ${name} has a digest; the image brings its own`);
    return [[formatReference(reference), image]];
  }
  const pairs = images.flatMap((image) => image.names.map((one) => [one, image] as const));
  if (pairs.length === 0)
    fail('invalidRequest', `${where}: no image in it has a full name; give one with --name`);
  return pairs;
}

async function take(
  command: Command,
  source: OpenedSource,
  image: OfferedImage,
  reference: string,
): Promise<string> {
  const state = await stateOf(command);
  const parsed = parseReference(reference);
  await makeImports(state);
  if ((await offeredImport(state, parsed)) !== undefined)
    fail('conflict', `import ${reference}: another import of this name is under way`);
  const served = await serveImage(importSocketPath(state, parsed), source, image);
  try {
    const id = await pullShown(command, reference, 'imported');
    // the call joins a pull that is under way, which has asked the registry and not this process
    if (!served.wasAsked())
      fail('conflict', `import ${reference}: a pull of this name was under way; try again`);
    return id;
  } finally {
    await served.close();
  }
}

/** The state directory of the running daemon, which may have other options than this command. */
async function stateOf({ client }: Command): Promise<string> {
  const { configJson } = await client.status({});
  const state = jsonObject(configJson)?.['state'];
  return typeof state === 'string'
    ? state
    : fail('bug', 'import: the daemon did not report its state directory');
}

/** Creates the directory in which only root may offer images. */
async function makeImports(state: string): Promise<void> {
  const directory = importsDirectory(state);
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const { mode, uid } = await stat(directory);
    if ((mode & 0o077) !== 0 || uid !== process.getuid?.())
      fail('denied', `import: users other than root may write in ${directory}`);
  }
}
