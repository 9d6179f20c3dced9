/** Where signatures lie: containers-registries.d(5). */
import { join } from 'node:path';
import { fail, FaultError } from '../../base/fault.ts';
import { signatureLimits } from '../../base/limits.ts';
import { namesOf } from '../../host/names-of.ts';
import { readCapped } from '../distribution/read-capped.ts';
import type { Fields } from '../image/fields.ts';
import type { ImageReference } from '../image/reference.ts';
import { parseYaml } from '../image/yaml-fields.ts';
import { scopesOf } from './scopes.ts';

export interface SignaturePlaces {
  /** Base URL, http, https or file. */
  readonly lookaside: string;
  /** Signatures are manifests in the image's own repository as well. */
  readonly attachments: boolean;
}

interface Entry {
  readonly lookaside: string;
  readonly attachments: boolean | undefined;
}

export interface RegistriesD {
  readonly fallback: Entry | undefined;
  readonly namespaces: ReadonlyMap<string, Entry>;
}

/** The reference implementation's place for root, where no file names another. */
const DEFAULT_LOOKASIDE = 'file:///var/lib/containers/sigstore';

/** Where signatures of this image may lie; each of the two settings comes from the most specific entry that has it. */
export function placesOf(conf: RegistriesD, reference: ImageReference): SignaturePlaces {
  const entries = [...scopesOf(reference).flatMap((scope) => conf.namespaces.get(scope) ?? []), ...(conf.fallback === undefined ? [] : [conf.fallback])];
  return {
    lookaside: entries.find(({ lookaside }) => lookaside !== '')?.lookaside ?? DEFAULT_LOOKASIDE,
    attachments: entries.find(({ attachments }) => attachments !== undefined)?.attachments ?? false,
  };
}

/** All `*.yaml` of the directory, which may be missing. Throws `invalidRequest` with the file, also for a namespace that two of them have. */
export async function loadRegistriesD(directory: string): Promise<RegistriesD> {
  const names = directory === '' ? [] : await namesOf(directory);
  const files = names.filter((name) => name.endsWith('.yaml')).toSorted();
  if (files.length > signatureLimits.confFiles) fail('invalidRequest', `read ${directory}: ${files.length} files, more than the ${signatureLimits.confFiles} allowed`);
  let fallback: Entry | undefined;
  const namespaces = new Map<string, Entry>();
  for (const name of files) {
    const path = join(directory, name);
    const bytes = await readCapped(path, signatureLimits.confBytes);
    if (bytes === undefined) continue;
    const found = await parseRegistriesD(bytes, path);
    if (fallback !== undefined && found.fallback !== undefined) fail('invalidRequest', `read ${path}: default-docker stands in another file as well`);
    fallback ??= found.fallback;
    for (const [namespace, entry] of found.namespaces) {
      if (namespaces.has(namespace)) fail('invalidRequest', `read ${path}: docker.${namespace} stands in another file as well`);
      namespaces.set(namespace, entry);
    }
  }
  return { fallback, namespaces };
}

/** One file. Keys that are not known are passed over, as the reference does: nothing here makes a signature valid. */
export async function parseRegistriesD(bytes: Uint8Array, path: string): Promise<RegistriesD> {
  const what = `signature places ${path}`;
  try {
    const top = await parseYaml(bytes, what);
    const docker = top.object('docker');
    const fallback = top.object('default-docker');
    const namespaces = docker === undefined ? [] : top.keys('docker').flatMap((name) => {
      const entry = docker.object(name);
      return entry === undefined ? [] : [[name, entryOf(entry)] as const];
    });
    return { fallback: fallback === undefined ? undefined : entryOf(fallback), namespaces: new Map(namespaces) };
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    return fail('invalidRequest', error.fault.message);
  }
}

function entryOf(fields: Fields): Entry {
  // the older name of the same
  const name = fields.text('lookaside', '') === '' ? 'sigstore' : 'lookaside';
  const lookaside = fields.text(name, '');
  if (lookaside !== '' && !/^(?:https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?|file:\/\/\/[^\s?#]*)$/u.test(lookaside)) {
    fields.refuse(name, 'is no http, https or file URL without credentials, query and fragment');
  }
  // a host or a port that no URL can have, such as `http://r.example:99999`, would fail each pull as a bug of ours
  if (lookaside !== '' && !URL.canParse(lookaside)) fields.refuse(name, 'has a host or a port that no URL can have');
  return { lookaside, attachments: fields.flag('use-sigstore-attachments') };
}
