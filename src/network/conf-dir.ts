/** Reads a directory of CNI configurations; number, size and type of the files are bounded (F56). */
import { constants } from 'node:fs';
import { open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { networkLimits } from './bounds.ts';
import { codeOf } from '../host/ffi/errno.ts';
import type { ConfFile, LoadedNetworks, SkippedFile } from './conflist.ts';
import { isConfFile, isList, parseNetworks, pluginFolder } from './conflist.ts';

export interface ConfDir extends LoadedNetworks {
  /** Why the whole directory can't be used; empty when it can. An absent directory counts as an empty one. */
  readonly problem: string;
  /** True when the directory holds no configuration file at all, valid or not. */
  readonly empty: boolean;
}

/**
 * Never throws for the content of the directory: files that can't be read are reported in `skipped` or
 * `problem`.
 */
export async function loadConfDir(confDir: string): Promise<ConfDir> {
  const names = await namesIn(confDir, isConfFile);
  if (typeof names === 'string') return { networks: [], skipped: [], problem: names, empty: false };
  const files: ConfFile[] = [];
  const unread: SkippedFile[] = [];
  const left = { bytes: networkLimits.confTotalBytes };
  for (const file of names) {
    const content = await readConf(confDir, file, left);
    if (typeof content !== 'string') {
      unread.push(content);
      continue;
    }
    const folder = isList(file) ? pluginFolder(content) : undefined;
    const plugins = folder === undefined ? [] : await readFolder(confDir, folder, left);
    if ('reason' in plugins) unread.push({ file, reason: `${plugins.file}: ${plugins.reason}` });
    else files.push({ file, text: content, plugins });
  }
  const loaded = parseNetworks(files);
  return {
    networks: loaded.networks,
    skipped: [...unread, ...loaded.skipped],
    problem: '',
    empty: names.length === 0,
  };
}

/** The plugin files that join a network's chain: all of them, or the first invalid one with its reason. */
async function readFolder(
  confDir: string,
  folder: string,
  left: { bytes: number },
): Promise<ConfFile[] | SkippedFile> {
  const names = await namesIn(join(confDir, folder), (file) => isConfFile(file) && file.endsWith('.conf'));
  if (typeof names === 'string') return { file: folder, reason: names };
  const files: ConfFile[] = [];
  for (const name of names) {
    const file = join(folder, name);
    const text = await readConf(confDir, file, left);
    if (typeof text !== 'string') return text;
    files.push({ file, text });
  }
  return files;
}

/** Sorted names; empty when the directory does not exist; a text when it can't be used. */
async function namesIn(directory: string, isWanted: (file: string) => boolean): Promise<string[] | string> {
  const names: string[] = [];
  try {
    let entries = 0;
    for await (const entry of await opendir(directory)) {
      entries += 1;
      if (entries > networkLimits.confDirEntries)
        return `${directory} has more than ${networkLimits.confDirEntries} entries`;
      if (isWanted(entry.name)) names.push(entry.name);
    }
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? [] : `read ${directory}: ${codeOf(error) ?? String(error)}`;
  }
  return names.toSorted();
}

/**
 * The text of `file` below the directory. Its size is subtracted from the bytes that all files together may
 * still have.
 */
async function readConf(
  confDir: string,
  file: string,
  left: { bytes: number },
): Promise<string | SkippedFile> {
  const no = (reason: string): SkippedFile => ({ file, reason });
  try {
    // O_NONBLOCK: opening a FIFO would wait for a writer for ever, and block a thread of the pool
    const handle = await open(join(confDir, file), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) return no('not a regular file');
      if (facts.size > networkLimits.confFileBytes)
        return no(`more than ${networkLimits.confFileBytes} bytes`);
      if (facts.size > left.bytes)
        return no(`all files together have more than ${networkLimits.confTotalBytes} bytes`);
      // reads one byte more than the size: a file that has grown meanwhile is half-written
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(facts.size + 1), 0, facts.size + 1, 0);
      if (bytesRead !== facts.size) return no('changed while being read');
      left.bytes -= bytesRead;
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    return no(codeOf(error) ?? String(error));
  }
}
