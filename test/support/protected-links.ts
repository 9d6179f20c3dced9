// fs.protected_symlinks, which is one setting of the whole machine: a test must not change it. So openat2 of this
// thread refuses here what the kernel refuses where it is 1 (may_follow_link in fs/namei.c), on any machine. The same
// tests run on the kernel's own rule where the machine has it.
import { closeSync, fstatSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, RESOLVE_IN_ROOT } from '../../src/host/ffi/constants.ts';
import { openHow } from '../../src/host/ffi/constants.ts';
import { libc } from '../../src/host/ffi/ffi.ts';
import { nameIn } from './failing-calls.ts';

/** Sticky, and everybody may write. */
const SHARED = 0o1002;
const LINKS = 40;

/** Runs `work` with the rule. */
export async function withProtectedLinks<T>(work: () => Promise<T>): Promise<T> {
  const real = libc.openat2;
  const isRefused = (root: number, path: unknown, how: Uint8Array): boolean =>
    (Buffer.from(how).readUInt32LE(0) & O_NOFOLLOW) === 0 && endsInForeignLink(root, nameIn(path));
  const ruled: typeof real = Object.assign(
    (...args: Parameters<typeof real>): number => {
      if (!isRefused(args[0], args[1], args[2])) return real(...args);
      koffi.errno(constants.errno.EACCES);
      return -1;
    },
    {
      info: real.info,
      async: ((root, path, how, size, done) => {
        if (!isRefused(root, path, how)) return real.async(root, path, how, size, done);
        koffi.errno(constants.errno.EACCES);
        done(null, -1);
      }) as typeof real.async,
    },
  );

  /** Whether the kernel would follow, as the last step of a path, a link that another user has put there. */
  function endsInForeignLink(root: number, path: string): boolean {
    let at = path;
    for (let links = 0; links < LINKS; links += 1) {
      const plain = at.replace(/\/+$/u, '');
      const slash = plain.lastIndexOf('/');
      const [directory, name] = [plain.slice(0, slash + 1), plain.slice(slash + 1)];
      if (['', '.', '..'].includes(name)) return false;
      const how = openHow(O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_IN_ROOT);
      const above = real(root, `${directory}.`, how, how.length);
      if (above === -1) return false;
      try {
        const [link, parent] = [
          lstatSync(`/proc/self/fd/${above}/${name}`, { throwIfNoEntry: false }),
          fstatSync(above),
        ];
        if (link?.isSymbolicLink() !== true) return false;
        if ((parent.mode & SHARED) === SHARED && ![process.geteuid?.(), parent.uid].includes(link.uid))
          return true;
        const target = readlinkSync(`/proc/self/fd/${above}/${name}`);
        at = target.startsWith('/') ? target : `${directory}${target}`;
      } finally {
        closeSync(above);
      }
    }
    return false;
  }

  Object.assign(libc, { openat2: ruled });
  try {
    return await work();
  } finally {
    Object.assign(libc, { openat2: real });
  }
}

/** Why the kernel's own rule is not in force; empty where it is. */
export const notProtected = (): string =>
  readFileSync('/proc/sys/fs/protected_symlinks', 'utf8').trim() === '1'
    ? ''
    : 'needs fs.protected_symlinks=1';
