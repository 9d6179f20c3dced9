/** Reads registries.conf and its drop-in directory. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { toFault } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import {
  emptyRegistriesConf,
  mergeRegistriesConf,
  parseRegistriesConf,
  refusedFile,
  type RegistriesConf,
} from './registries-conf.ts';
import { readCapped } from './read-capped.ts';

/**
 * The file, then `*.conf` of the directory in the order of their names. Either may be missing, or '' for none. Never
 * rejects: what can't be read is in `problems`, and refuses the pulls that it may be about (F95).
 */
export async function loadRegistries(paths: {
  readonly file: string;
  readonly directory: string;
}): Promise<RegistriesConf> {
  const parsed: RegistriesConf[] = [emptyRegistriesConf];
  if (paths.file !== '') parsed.push(await loadFile(paths.file));
  const names = paths.directory === '' ? [] : await namesIn(paths.directory);
  if (typeof names === 'string') parsed.push(refusedFile(paths.directory, names));
  else for (const name of names) parsed.push(await loadFile(join(paths.directory, name)));
  return mergeRegistriesConf(parsed);
}

async function loadFile(file: string): Promise<RegistriesConf> {
  try {
    const bytes = await readCapped(file, distributionLimits.confBytes);
    return bytes === undefined ? emptyRegistriesConf : parseRegistriesConf(bytes.toString('utf8'), file);
  } catch (error) {
    return refusedFile(file, toFault(error).message);
  }
}

/** Sorted; a text when the directory can't be used. */
async function namesIn(directory: string): Promise<readonly string[] | string> {
  try {
    const confs = (await missingAs(readdir(directory), []))
      .filter((name) => name.endsWith('.conf'))
      .toSorted();
    return confs.length > distributionLimits.confFiles
      ? `${confs.length} files, more than the ${distributionLimits.confFiles} allowed`
      : confs;
  } catch (error) {
    return `it can't be listed (${codeOf(error) ?? String(error)})`;
  }
}
