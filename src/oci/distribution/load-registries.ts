/** Reads registries.conf and its drop-in directory. */
import { join } from 'node:path';
import { fail } from '../../base/fault.ts';
import { distributionLimits } from '../../base/limits.ts';
import { namesOf } from '../../host/names-of.ts';
import {
  emptyRegistriesConf,
  mergeRegistriesConf,
  parseRegistriesConf,
  type RegistriesConf,
} from './registries-conf.ts';
import { readCapped } from './read-capped.ts';

/**
 * The file, then `*.conf` of the directory in the order of their names. Either may be missing, or '' for none.
 * @throws FaultError `invalidRequest` with file and line
 */
export async function loadRegistries(paths: { readonly file: string; readonly directory: string }): Promise<RegistriesConf> {
  const names = paths.directory === '' ? [] : await namesIn(paths.directory);
  const files = [paths.file, ...names].filter((file) => file !== '');
  const parsed: RegistriesConf[] = [emptyRegistriesConf];
  for (const file of files) {
    const bytes = await readCapped(file, distributionLimits.confBytes);
    if (bytes !== undefined) parsed.push(parseRegistriesConf(bytes.toString('utf8'), file));
  }
  return mergeRegistriesConf(parsed);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  const names = await namesOf(directory);
  const confs = names.filter((name) => name.endsWith('.conf')).toSorted();
  if (confs.length > distributionLimits.confFiles) {
    fail('invalidRequest', `read ${directory}: ${confs.length} files, more than the ${distributionLimits.confFiles} allowed`);
  }
  return confs.map((name) => join(directory, name));
}
