/** The page's access token, in a file that only root can read. */
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import type { RandomPort } from '../ports/random.ts';
import { webLimits } from './bounds.ts';

/** Files whose token is being read or made. */
const making = new Map<string, Promise<string>>();

/**
 * The token in `file`. A new one is created when the file does not exist, or others could have read or written it. It
 * stays over restarts of the daemon, so that an open page keeps working. Callers at the same time get the same one: the
 * page and the metrics' listener start together.
 */
export function accessToken(file: string, random: Pick<RandomPort, 'token'>, uid: number): Promise<string> {
  const known = making.get(file);
  if (known !== undefined) return known;
  const made = readOrMake(file, random, uid).finally(() => making.delete(file));
  making.set(file, made);
  return made;
}

async function readOrMake(file: string, random: Pick<RandomPort, 'token'>, uid: number): Promise<string> {
  const known = await readToken(file, uid);
  if (known !== undefined) return known;
  const token = random.token(webLimits.tokenBytes);
  const fresh = `${file}.new`;
  await rm(fresh, { force: true });
  const handle = await open(fresh, 'wx', 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(`${token}\n`);
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
  return token;
}

async function readToken(file: string, uid: number): Promise<string | undefined> {
  // a symbolic link must not be followed, and a FIFO must not block
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => undefined,
  );
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.uid !== uid || (stat.mode & 0o077) !== 0 || stat.size > 1024) return undefined;
    const text = (await handle.readFile('latin1')).trim();
    return new RegExp(`^[0-9a-f]{${2 * webLimits.tokenBytes}}$`, 'u').test(text) ? text : undefined;
  } finally {
    await handle.close();
  }
}
