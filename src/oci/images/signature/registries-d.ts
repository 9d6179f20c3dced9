/** Reads the locations of signatures: containers-registries.d(5). */
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

export interface SignatureLocations {
  /** Base URL with the scheme http, https or file. */
  readonly lookaside: string;
  /** Whether signatures may also be manifests in the image's own repository. */
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

/** The merged files, with the reasons why some have no effect: path → reason. */
export interface LoadedRegistriesD extends RegistriesD {
  readonly problems: ReadonlyMap<string, string>;
}

/** The reference implementation's default for root. */
const DEFAULT_LOOKASIDE = 'file:///var/lib/containers/sigstore';

/** Where signatures of this image can be. Each of the two settings comes from the most specific entry that has it. */
export function locationsOf(conf: RegistriesD, reference: ImageReference): SignatureLocations {
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
 * Reads all `*.yaml` in the directory, which may be missing. A file that cannot be used counts as missing, and of two
 * entries for a namespace the first counts (F95). This is safe: a missing or wrong location makes no signature valid.
 * Never rejects because of the directory's content.
 */
export async function loadRegistriesD(directory: string): Promise<LoadedRegistriesD> {
  const problems = new Map<string, string>();
  const names =
    directory === ''
      ? []
      : await namesOf(directory).catch((error: unknown) => {
          problems.set(directory, `list directory: ${codeOf(error) ?? String(error)}`);
          return [];
        });
  const files = names.filter((name) => name.endsWith('.yaml')).toSorted();
  if (files.length > signatureLimits.confFiles)
    problems.set(
      directory,
      `${files.length} files, of which only the first ${signatureLimits.confFiles} are read`,
    );
  let fallback: Entry | undefined;
  const namespaces = new Map<string, Entry>();
  for (const name of files.slice(0, signatureLimits.confFiles)) {
    const path = join(directory, name);
    try {
      const bytes = await readCapped(path, signatureLimits.confBytes);
      if (bytes === undefined) continue;
      const found = await parseRegistriesD(bytes, path);
      if (fallback !== undefined && found.fallback !== undefined)
        problems.set(path, 'default-docker is already set by another file');
      fallback ??= found.fallback;
      for (const [namespace, entry] of found.namespaces) {
        if (namespaces.has(namespace))
          problems.set(path, `docker.${namespace} is already set by another file`);
        else namespaces.set(namespace, entry);
      }
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      problems.set(path, error.fault.message);
    }
  }
  return { fallback, namespaces, problems };
}

/**
 * Parses one file. Unknown keys are ignored, as in the reference implementation: no location makes a signature valid.
 */
export async function parseRegistriesD(bytes: Uint8Array, path: string): Promise<RegistriesD> {
  const what = `read ${path}`;
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
  // sigstore is the older name of lookaside
  const name = fields.text('lookaside', '') === '' ? 'sigstore' : 'lookaside';
  const lookaside = fields.text(name, '');
  if (
    lookaside !== '' &&
    !/^(?:https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?|file:\/\/\/[^\s?#]*)$/u.test(lookaside)
  ) {
    fields.refuse(name, 'is not an http, https or file URL without credentials, query and fragment');
  }
  // refuse an invalid host or port, such as `http://r.example:99999`, here: it would fail each pull as an internal
  // error
  if (lookaside !== '' && !URL.canParse(lookaside)) fields.refuse(name, 'has an invalid host or port');
  return { lookaside, attachments: fields.flag('use-sigstore-attachments') };
}
