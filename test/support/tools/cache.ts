import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The checkout's directory. */
export const checkout = dirname(dirname(dirname(import.meta.dirname)));

/** Where built tools, unpacked Debian parts and images are kept between runs; the same rule as in scripts/setup.js. */
export const cacheDirectory = process.env['TROUPE_CACHE'] ?? join(checkout, '.cache');

/**
 * The directory `<cache>/<key>`, made by `fill` when it isn't there. It is filled under another name and renamed, so
 * that an interrupted run leaves nothing half-made under the key; two that fill at once do the work twice, to the same
 * end.
 * @param key relative path which names everything that the content depends on, above all versions
 */
export async function cached(key: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const target = join(cacheDirectory, key);
  if (existsSync(target)) return target;
  await mkdir(dirname(target), { recursive: true });
  const work = await mkdtemp(`${target}.tmp-`);
  try {
    await fill(work);
    try {
      await rename(work, target);
    } catch (error) {
      if (!existsSync(target)) throw error;
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}
