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
 * Reads the file, then the directory's `*.conf` sorted by name. Either may be missing, or '' for none. Never rejects:
 * what cannot be read is reported in `problems` and refuses the pulls that it may concern (F95).
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

/** The sorted names, or the reason why the directory cannot be used. */
async function namesIn(directory: string): Promise<readonly string[] | string> {
  try {
    const confs = (await missingAs(readdir(directory), []))
      .filter((name) => name.endsWith('.conf'))
      .toSorted();
    return confs.length > distributionLimits.confFiles
      ? `${confs.length} files, more than the ${distributionLimits.confFiles} allowed`
      : confs;
  } catch (error) {
    return `list directory: ${codeOf(error) ?? String(error)}`;
  }
}
