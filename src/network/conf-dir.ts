/** Reads a directory of CNI configurations, bounded in number, size and kind of file (F56). */
import { constants } from 'node:fs';
import { open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { networkLimits } from '../base/limits.ts';
import { codeOf } from '../host/errno.ts';
import type { ConfFile, LoadedNetworks, SkippedFile } from './conflist.ts';
import { isConfFile, parseNetworks } from './conflist.ts';

export interface ConfDir extends LoadedNetworks {
  /** Why the directory as a whole can't be used; empty when it can. An absent one is an empty one. */
  readonly problem: string;
  /** True when there is no configuration file at all, good or bad. */
  readonly empty: boolean;
}

/** Never throws for what stands in the directory: what can't be read is in `skipped` or `problem`. */
export async function loadConfDir(confDir: string): Promise<ConfDir> {
  const names = await confNames(confDir);
  if (typeof names === 'string') return { networks: [], skipped: [], problem: names, empty: false };
  const files: ConfFile[] = [];
  const unread: SkippedFile[] = [];
  let bytes = 0;
  for (const file of names) {
    const content = await readConf(join(confDir, file), networkLimits.confTotalBytes - bytes);
    if ('reason' in content) {
      unread.push({ file, reason: content.reason });
      continue;
    }
    bytes += content.bytes;
    files.push({ file, text: content.text });
  }
  const loaded = parseNetworks(files);
  return { networks: loaded.networks, skipped: [...unread, ...loaded.skipped], problem: '', empty: names.length === 0 };
}

async function confNames(confDir: string): Promise<string[] | string> {
  const names: string[] = [];
  try {
    let entries = 0;
    for await (const entry of await opendir(confDir)) {
      entries += 1;
      if (entries > networkLimits.confDirEntries) return `${confDir} has more than ${networkLimits.confDirEntries} entries`;
      if (isConfFile(entry.name)) names.push(entry.name);
    }
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? [] : `${confDir} can't be read: ${codeOf(error) ?? String(error)}`;
  }
  return names.toSorted();
}

async function readConf(path: string, bytesLeft: number): Promise<{ text: string; bytes: number } | { reason: string }> {
  try {
    // O_NONBLOCK: the open of a FIFO would wait for a writer for ever, and hold a thread of the pool
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) return { reason: 'not a regular file' };
      if (facts.size > networkLimits.confFileBytes) return { reason: `more than ${networkLimits.confFileBytes} bytes` };
      if (facts.size > bytesLeft) return { reason: `all files together have more than ${networkLimits.confTotalBytes} bytes` };
      // one byte more than the size: a file that grows meanwhile is half-written
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(facts.size + 1), 0, facts.size + 1, 0);
      if (bytesRead !== facts.size) return { reason: 'it changed while it was read' };
      return { text: buffer.toString('utf8', 0, bytesRead), bytes: bytesRead };
    } finally {
      await handle.close();
    }
  } catch (error) {
    return { reason: codeOf(error) ?? String(error) };
  }
}
