import { renameOwn, writeOwnFile } from './state-files.ts';

/**
 * Writes a file completely or not at all: a crash in between leaves the old one, or none, and `<path>.new`
 * next to it. Not synced: for files that do not survive a reboot anyway. One writer at a time for each path.
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await writeOwnFile(`${path}.new`, content, mode);
  await renameOwn(`${path}.new`, path);
}
