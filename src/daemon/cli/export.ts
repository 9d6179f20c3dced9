/**
 * `troupe export`: writes a pulled image as a layout or an archive. Needs no daemon: it reads records and layers from
 * the store.
 */
import { lookUpImage } from '../../actors/images/catalog.ts';
import { fail } from '../../base/fault.ts';
import { candidates } from '../../oci/images/registry/endpoints.ts';
import { formatReference } from '../../oci/images/model/reference.ts';
import { parseTarget, writeTarget } from '../../oci/images/archive/write-target.ts';
import { storePaths, type StorePaths } from '../../oci/images/store/records/layer-layout.ts';
import type { Config } from '../config/config-schema.ts';
import { registriesOf } from '../wiring/registry.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { readRecords } from '../wiring/journal-records.ts';

/** Prints the id of the copy, which differs from the image's own: its layers are packed again. */
export async function exportImage({ line, screen, config, json, signal }: Command): Promise<number> {
  const [wanted = '', to = ''] = line.words;
  const target = parseTarget(to);
  const settings = await config();
  const registries = await registriesOf(settings);
  const { ledger } = await readRecords(settings.root);
  const names = (text: string): readonly string[] => candidates(text, registries).map(formatReference);
  const found = lookUpImage(ledger.images.values(), wanted, names);
  if (found.found === 'many') fail('invalidRequest', `export ${wanted}: it is a prefix of several ids`);
  const image =
    found.found === 'one'
      ? found.image
      : fail('notFound', `export ${wanted}: image not found; pull it first`);
  const name =
    image.repoTags.find((tag) => tag === wanted || isAmong(wanted, tag, names)) ?? image.repoTags[0] ?? '';
  const written = await writeTarget({ image, name, target, stores: storesOf(settings), signal });
  const { config: copy, manifest, diffIds } = written;
  if (json)
    writeJson(screen, {
      image: image.id,
      reference: name,
      target: `${target.transport}:${target.path}`,
      id: copy.digest,
      manifestDigest: manifest.digest,
      diffIds,
    });
  else screen.line(copy.digest);
  return EXIT.ok;
}

function storesOf({ root, storage }: Config): readonly StorePaths[] {
  return [storage.image_store === '' ? root : storage.image_store, ...storage.additional_stores].map((one) =>
    storePaths(one),
  );
}

function isAmong(wanted: string, tag: string, names: (text: string) => readonly string[]): boolean {
  try {
    return names(wanted).includes(tag);
  } catch {
    // it is an id
    return false;
  }
}
