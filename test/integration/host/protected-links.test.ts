// With fs.protected_symlinks=1 the kernel refuses links of other users in directories that everybody may write. Those
// in an image are the image's own.
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { O_PATH } from '../../../src/host/ffi/constants.ts';
import * as at from '../../../src/host/files/files-at.ts';
import {
  mkdirInRoot,
  openInRoot,
  readFileInRoot,
  readFileOfImage,
  resolveInRoot,
  symlinkInRoot,
  writeFileInRoot,
} from '../../../src/host/files/files.ts';
import { notProtected, withProtectedLinks } from '../../support/protected-links.ts';
import { unless } from '../../support/skips/unless.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';

const bytesMax = 1024;
const SOMEBODY = 1000;
const openFds = (): number => readdirSync('/proc/self/fd').length;
const asIs = <T>(work: () => Promise<T>): Promise<T> => work();

/** A stand-in for the kernel's rule, and the rule itself where this machine has it. */
const RULES = [
  ['with a stand-in for the kernel’s rule', withProtectedLinks, ''],
  ['with the kernel’s own rule', asIs, notProtected()],
] as const;

describeAsRoot('links that fs.protected_symlinks forbids', () => {
  const all = scratchDirectory('protected-links');

  for (const [name, rule, missing] of RULES)
    unless(describe, missing)(name, () => {
      const scratch = mkdtempSync(join(all, 'rule-'));
      const root = join(scratch, 'root');
      mkdirSync(join(root, 'etc'), { recursive: true });
      for (const shared of ['tmp', 'drop']) {
        mkdirSync(join(root, shared));
        chmodSync(join(root, shared), 0o1777);
      }
      writeFileSync(join(scratch, 'secret'), 'outside');
      writeFileSync(join(root, 'secret'), 'inside');
      writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0');
      const link = (target: string, name: string): void => {
        symlinkSync(target, join(root, name));
        lchownSync(join(root, name), SOMEBODY, SOMEBODY);
      };
      link('/etc', 'tmp/etc');
      link('../etc/passwd', 'tmp/passwd');
      link('../drop/second', 'tmp/first');
      link('/tmp/passwd', 'drop/second');
      link('../../../../../secret', 'tmp/up');
      link(join(scratch, 'secret'), 'tmp/out');
      link('/nowhere', 'tmp/dangling');
      link('/absent/deep', 'tmp/unmade');
      link('../drop/round', 'tmp/round');
      link('../tmp/round', 'drop/round');
      link('/tmp/passwd/', 'tmp/slash');
      symlinkSync('../tmp/first', join(root, 'etc/alias'));

      const read = async (path: string): Promise<string | undefined> => {
        const content = await rule(() => readFileOfImage(root, path, { bytesMax }));
        return content === undefined ? undefined : Buffer.from(content).toString();
      };

      test('S54: the kernel does not follow them, and for files of the host neither do we', async () => {
        for (const path of ['tmp/passwd', 'tmp/first', 'etc/alias', 'tmp/out', 'tmp/round'])
          await expect(rule(() => readFileInRoot(root, path, { bytesMax }))).rejects.toMatchObject({
            code: 'EACCES',
          });
        expect(await rule(() => readFileInRoot(root, 'tmp/etc/passwd', { bytesMax }))).toHaveLength(10);
      });

      test('S54: those of an image are followed, one after the other, inside its root', async () => {
        for (const path of ['tmp/passwd', '/tmp/first', 'tmp/etc/passwd', 'etc/alias', 'tmp/etc/alias'])
          expect(await read(path), path).toBe('root:x:0:0');
        expect(await read('tmp/up')).toBe('inside');
        for (const path of ['tmp/out', 'tmp/dangling', 'tmp/slash', 'tmp/passwd/', 'tmp/dangling/x'])
          expect(await read(path), path).toBeUndefined();
        await expect(read('tmp/round')).rejects.toMatchObject({ code: 'ELOOP' });
        await expect(read('tmp/etc')).rejects.toThrow(/not a regular file/u);
      });

      test('S54: as many links as the kernel follows, and no more', async () => {
        for (let count = 1; count <= 41; count += 1)
          link(count === 1 ? '../secret' : `many-${count - 1}`, `tmp/many-${count}`);
        expect(await read('tmp/many-40')).toBe('inside');
        await expect(read('tmp/many-41')).rejects.toMatchObject({ code: 'ELOOP' });
      });

      test('S54: one that is swapped while it is walked never leads out', async () => {
        const swap = join(root, 'tmp/swap');
        for (let round = 0; round < 200; round += 1) {
          const reading = read('tmp/swap');
          symlinkSync(round % 2 === 0 ? join(scratch, 'secret') : '../secret', `${swap}.new`);
          lchownSync(`${swap}.new`, SOMEBODY, SOMEBODY);
          renameSync(`${swap}.new`, swap);
          expect(['inside', undefined]).toContain(await reading);
        }
      });

      test('files and directories are found, and made, through them', async () => {
        expect(await rule(() => resolveInRoot(root, 'tmp/etc'))).toBe(join(root, 'etc'));
        expect(await rule(() => resolveInRoot(root, 'tmp/first'))).toBe(join(root, 'etc/passwd'));
        expect(await rule(() => resolveInRoot(root, 'tmp/out'))).toBeUndefined();
        const found = await rule(() => openInRoot(root, '/tmp/etc', O_PATH));
        expect(fstatSync(found).ino).toBe(statSync(join(root, 'etc')).ino);
        closeSync(found);
        await rule(() => mkdirInRoot(root, '/tmp/etc', 0o750));
        await rule(() => mkdirInRoot(root, '/tmp/etc/app', 0o750));
        expect(statSync(join(root, 'etc/app')).mode & 0o777).toBe(0o750);
        await rule(() => mkdirInRoot(root, '/tmp/unmade/app', 0o750));
        expect(statSync(join(root, 'absent/deep/app')).isDirectory()).toBe(true);
        await expect(rule(() => mkdirInRoot(root, '/tmp/round', 0o755))).rejects.toMatchObject({
          code: 'ELOOP',
        });
        expect(await rule(() => symlinkInRoot(root, '/tmp/etc', 'mtab', '/proc/mounts'))).toBe(true);
        expect(readlinkSync(join(root, 'etc/mtab'))).toBe('/proc/mounts');
        await rule(() => writeFileInRoot(root, '/tmp/etc/file', Buffer.from('x'), { mode: 0o600 }));
        expect(existsSync(join(root, 'etc/file'))).toBe(true);
        // the link itself is replaced, not what it leads to
        await rule(() => writeFileInRoot(root, '/tmp/up', Buffer.from('x'), { mode: 0o600 }));
        expect(await read('secret')).toBe('inside');
      });

      test('S54: where no link is allowed they are refused as links', async () => {
        const directory = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
        const refusal = async (path: string, flags: number): Promise<unknown> =>
          rule(async () => at.openBeneath(directory, path, flags)).catch((error: unknown) => error);
        try {
          expect(at.isEscape(await refusal('tmp/passwd', constants.O_RDONLY))).toBe(true);
          expect(at.isEscape(await refusal('tmp/etc/passwd', constants.O_RDONLY))).toBe(true);
          expect(await refusal('tmp/etc', constants.O_RDONLY | constants.O_DIRECTORY)).toMatchObject({
            code: 'ENOTDIR',
          });
        } finally {
          closeSync(directory);
        }
      });

      test('no descriptor stays open', async () => {
        const before = openFds();
        await read('tmp/first');
        await read('tmp/dangling');
        await expect(read('tmp/round')).rejects.toThrow();
        await rule(() => mkdirInRoot(root, '/tmp/etc/more', 0o755));
        expect(openFds()).toBe(before);
      });
    });
});
