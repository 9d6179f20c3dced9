/** Reads registries.conf and its drop-in directory. */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../base/fault.ts';
import { distributionLimits } from '../../base/limits.ts';
import {
  emptyRegistriesConf,
  mergeRegistriesConf,
  parseRegistriesConf,
  type RegistriesConf,
} from './registries-conf.ts';

/**
 * The file, then `*.conf` of the directory in the order of their names. Either may be missing, or '' for none.
 * @throws FaultError `invalidRequest` with file and line
 */
export async function loadRegistries(paths: { readonly file: string; readonly directory: string }): Promise<RegistriesConf> {
  const names = paths.directory === '' ? [] : await namesIn(paths.directory);
  const files = [paths.file, ...names].filter((file) => file !== '');
  const parsed: RegistriesConf[] = [emptyRegistriesConf];
  for (const file of files) {
    const text = await readCapped(file);
    if (text !== undefined) parsed.push(parseRegistriesConf(text, file));
  }
  return mergeRegistriesConf(parsed);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  const names = await missingAs(readdir(directory), []);
  const confs = names.filter((name) => name.endsWith('.conf')).toSorted();
  if (confs.length > distributionLimits.confFiles) {
    fail('invalidRequest', `read ${directory}: ${confs.length} files, more than the ${distributionLimits.confFiles} allowed`);
  }
  return confs.map((name) => join(directory, name));
}

async function readCapped(file: string): Promise<string | undefined> {
  const handle = await missingAs(open(file, 'r'), undefined);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    if (size > distributionLimits.confBytes) {
      fail('invalidRequest', `read ${file}: ${size} bytes, more than the ${distributionLimits.confBytes} allowed`);
    }
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await handle.read(bytes, 0, size, 0);
    return bytes.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function missingAs<T>(work: Promise<T>, missing: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return missing;
    throw error;
  }
}
