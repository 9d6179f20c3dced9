/** Where signatures lie: containers-registries.d(5). */
import { join } from 'node:path';
import { fail, FaultError } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { readCapped } from '../registry/read-capped.ts';
import type { Fields } from '../../documents/fields.ts';
import type { ImageReference } from '../model/reference.ts';
import { parseYaml } from '../../documents/yaml-fields.ts';
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

/** What of the directory has no effect: path → reason. */
export interface LoadedRegistriesD extends RegistriesD {
  readonly problems: ReadonlyMap<string, string>;
}

/** The reference implementation's place for root, where no file names another. */
const DEFAULT_LOOKASIDE = 'file:///var/lib/containers/sigstore';

/** Where signatures of this image may lie; each of the two settings comes from the most specific entry that has it. */
export function placesOf(conf: RegistriesD, reference: ImageReference): SignaturePlaces {
  const entries = [
    ...scopesOf(reference).flatMap((scope) => conf.namespaces.get(scope) ?? []),
    ...(conf.fallback === undefined ? [] : [conf.fallback]),
  ];
  return {
    lookaside: entries.find(({ lookaside }) => lookaside !== '')?.lookaside ?? DEFAULT_LOOKASIDE,
    attachments: entries.find(({ attachments }) => attachments !== undefined)?.attachments ?? false,
  };
}

/**
 * All `*.yaml` of the directory, which may be missing. A file that can't be used counts as absent, and of a namespace that
 * two files have the first counts (F95): a place that is missing or another one makes no signature valid. Never rejects
 * for what stands in the directory.
 */
export async function loadRegistriesD(directory: string): Promise<LoadedRegistriesD> {
  const problems = new Map<string, string>();
  const names =
    directory === ''
      ? []
      : await namesOf(directory).catch((error: unknown) => {
          problems.set(directory, `it can't be listed (${codeOf(error) ?? String(error)})`);
          return [];
        });
  const files = names.filter((name) => name.endsWith('.yaml')).toSorted();
  if (files.length > signatureLimits.confFiles)
    problems.set(directory, `${files.length} files, of which the first ${signatureLimits.confFiles} count`);
  let fallback: Entry | undefined;
  const namespaces = new Map<string, Entry>();
  for (const name of files.slice(0, signatureLimits.confFiles)) {
    const path = join(directory, name);
    try {
      const bytes = await readCapped(path, signatureLimits.confBytes);
      if (bytes === undefined) continue;
      const found = await parseRegistriesD(bytes, path);
      if (fallback !== undefined && found.fallback !== undefined)
        problems.set(path, 'default-docker stands in another file as well');
      fallback ??= found.fallback;
      for (const [namespace, entry] of found.namespaces) {
        if (namespaces.has(namespace))
          problems.set(path, `docker.${namespace} stands in another file as well`);
        else namespaces.set(namespace, entry);
      }
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      problems.set(path, error.fault.message);
    }
  }
  return { fallback, namespaces, problems };
}

/** One file. Keys that are not known are passed over, as the reference does: nothing here makes a signature valid. */
export async function parseRegistriesD(bytes: Uint8Array, path: string): Promise<RegistriesD> {
  const what = `signature places ${path}`;
  try {
    const top = await parseYaml(bytes, what);
    const docker = top.object('docker');
    const fallback = top.object('default-docker');
    const namespaces =
      docker === undefined
        ? []
        : top.keys('docker').flatMap((name) => {
            const entry = docker.object(name);
            return entry === undefined ? [] : [[name, entryOf(entry)] as const];
          });
    return {
      fallback: fallback === undefined ? undefined : entryOf(fallback),
      namespaces: new Map(namespaces),
    };
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    return fail('invalidRequest', error.fault.message);
  }
}

function entryOf(fields: Fields): Entry {
  // the older name of the same
  const name = fields.text('lookaside', '') === '' ? 'sigstore' : 'lookaside';
  const lookaside = fields.text(name, '');
  if (
    lookaside !== '' &&
    !/^(?:https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?|file:\/\/\/[^\s?#]*)$/u.test(lookaside)
  ) {
    fields.refuse(name, 'is no http, https or file URL without credentials, query and fragment');
  }
  // a host or a port that no URL can have, such as `http://r.example:99999`, would fail each pull as a bug of ours
  if (lookaside !== '' && !URL.canParse(lookaside))
    fields.refuse(name, 'has a host or a port that no URL can have');
  return { lookaside, attachments: fields.flag('use-sigstore-attachments') };
}
