import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import {
  lockDirectory,
  filesystemType,
  filesystemSpace,
  parseLocks,
} from '../../../src/host/files/directory-lock.ts';
import { O_PATH } from '../../../src/host/ffi/constants.ts';
import * as at from '../../../src/host/files/files-at.ts';
import {
  mkdirInRoot,
  openInRoot,
  readFileInRoot,
  resolveInRoot,
  symlinkInRoot,
  writeAtomic,
  writeFileInRoot,
} from '../../../src/host/files/files.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';

const bytesMax = 1024;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const openFds = (): number => readdirSync('/proc/self/fd').length;

/** A root with links that try every way out, beside a file that must not be reached. */
function makeHostileRoot(scratch: string): string {
  const root = join(scratch, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(scratch, 'secret'), 'outside');
  writeFileSync(join(root, 'secret'), 'inside');
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0');
  symlinkSync('../../../../../../secret', join(root, 'up'));
  symlinkSync(join(scratch, 'secret'), join(root, 'absolute'));
  symlinkSync('/secret', join(root, 'rooted'));
  symlinkSync('/etc', join(root, 'config'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync('/nowhere/file', join(root, 'dangling'));
  return root;
}

describeAsRoot('files inside a root', () => {
  const scratch = scratchDirectory('files');
  const root = makeHostileRoot(scratch);

  test('S54: links are resolved inside the root, whatever they say', async () => {
    const read = async (path: string): Promise<string | undefined> => {
      const content = await readFileInRoot(root, path, { bytesMax });
      return content === undefined ? undefined : Buffer.from(content).toString();
    };
    for (const path of ['up', 'rooted', '/../../secret', 'config/../secret'])
      expect(await read(path)).toBe('inside');
    expect(await read('/config/passwd')).toBe('root:x:0:0');
    for (const path of ['absolute', 'dangling', 'none', 'secret/x']) expect(await read(path)).toBeUndefined();
    await expect(read('loop')).rejects.toMatchObject({ code: 'ELOOP' });
  });

  test('S54: magic links of /proc are refused', async () => {
    const fd = openSync(join(scratch, 'secret'), 'r');
    await expect(openInRoot('/proc', `self/fd/${fd}`, constants.O_RDONLY)).rejects.toMatchObject({
      code: 'ELOOP',
    });
    await expect(openInRoot('/proc', 'self/root/etc', constants.O_RDONLY)).rejects.toMatchObject({
      code: 'ELOOP',
    });
    closeSync(fd);
  });

  test('S54: a directory swapped for a link while it is walked never leads out', async () => {
    const [inside, outside] = [join(root, 'swap'), join(scratch, 'swapped')];
    mkdirSync(join(root, 'real'));
    writeFileSync(join(root, 'real/file'), 'inside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'outside');
    for (let round = 0; round < 200; round += 1) {
      const reading = readFileInRoot(root, 'swap/file', { bytesMax }).then(
        (content) => content && Buffer.from(content).toString(),
      );
      symlinkSync(round % 2 === 0 ? outside : '/real', `${inside}.new`);
      renameSync(`${inside}.new`, inside);
      expect(['inside', undefined]).toContain(await reading);
    }
  });

  test('S10: FIFO, device, directory, socket and a huge sparse file are refused at once', async () => {
    const directory = await openInRoot(root, 'etc', constants.O_RDONLY);
    at.mknodAt(directory, 'fifo', constants.S_IFIFO | 0o644);
    at.mknodAt(directory, 'zero', constants.S_IFCHR | 0o644, 1, 5);
    at.mknodAt(directory, 'sock', constants.S_IFSOCK | 0o644);
    writeFileSync(join(root, 'etc/huge'), '');
    truncateSync(join(root, 'etc/huge'), 20 * 2 ** 30);
    for (const name of ['fifo', 'zero', 'sock', '.']) {
      await expect(readFileInRoot(root, `etc/${name}`, { bytesMax })).rejects.toThrow(/not a regular file/u);
    }
    await expect(readFileInRoot(root, 'etc/huge', { bytesMax })).rejects.toThrow(/larger than 1024 bytes/u);
    closeSync(directory);
  });

  test('S10: a file above the bound is refused before it is read; the cap is exact to the byte, also for files of /proc, whose stated size is 0', async () => {
    for (const size of [0, bytesMax - 1, bytesMax]) {
      writeFileSync(join(root, 'sized'), Buffer.alloc(size, 'x'));
      expect(await readFileInRoot(root, 'sized', { bytesMax })).toHaveLength(size);
    }
    writeFileSync(join(root, 'sized'), Buffer.alloc(bytesMax + 1));
    await expect(readFileInRoot(root, 'sized', { bytesMax })).rejects.toThrow(/larger/u);
    expect((await readFileInRoot('/proc', 'sys/kernel/ostype', { bytesMax }))?.length).toBe(6);
    await expect(readFileInRoot('/proc', 'self/environ', { bytesMax: 3 })).rejects.toThrow(/larger/u);
  });

  test('resolving gives the path on the host', async () => {
    expect(await resolveInRoot(root, 'config/passwd')).toBe(join(root, 'etc/passwd'));
    expect(await resolveInRoot(root, '/up')).toBe(join(root, 'secret'));
    expect(await resolveInRoot(root, 'dangling')).toBeUndefined();
  });

  test('directories are made inside the root, through links too, and never over another kind of file', async () => {
    await mkdirInRoot(root, '/config/a/b', 0o750);
    await mkdirInRoot(root, 'config/a/b', 0o700);
    expect(statSync(join(root, 'etc/a/b')).mode & 0o777).toBe(0o750);
    await mkdirInRoot(root, '/', 0o755);
    await expect(mkdirInRoot(root, 'secret/x', 0o755)).rejects.toMatchObject({ code: 'ENOTDIR' });
    await mkdirInRoot(root, '../../escaped', 0o755);
    expect(statSync(join(root, 'escaped')).isDirectory()).toBe(true);
  });

  test('S55 the target of a dangling link is made inside the root: through a chain of links, through .., never outside, never endlessly', async () => {
    const outside = join(scratch, 'outside-of-links');
    for (const [name, target] of [
      ['run', '/absent/run'],
      ['chain', 'run/../second'],
      ['out', outside],
      ['upwards', `${'../'.repeat(30)}${outside.slice(1)}`],
      ['self', 'self/x'],
    ] as const) {
      symlinkSync(target, join(root, name));
    }
    await mkdirInRoot(root, '/run/app', 0o750, { uid: 12, gid: 34 });
    for (const made of ['absent', 'absent/run', 'absent/run/app'])
      expect(statSync(join(root, made))).toMatchObject({ uid: 12, gid: 34, mode: constants.S_IFDIR | 0o750 });
    expect(readlinkSync(join(root, 'run'))).toBe('/absent/run');
    await mkdirInRoot(root, 'chain/x', 0o755);
    expect(statSync(join(root, 'absent/second/x')).isDirectory()).toBe(true);
    for (const name of ['out', 'upwards']) await mkdirInRoot(root, `${name}/x`, 0o755);
    expect(statSync(join(root, outside, 'x')).isDirectory()).toBe(true);
    expect(existsSync(outside)).toBe(false);
    await expect(mkdirInRoot(root, 'self/x', 0o755)).rejects.toMatchObject({ code: 'ELOOP' });
    const names = Array.from({ length: 50 }, (_none, at) => `to-nothing-${at}`);
    for (const name of names) symlinkSync(`/made-for-${name}`, join(root, name));
    symlinkSync(`${names.join('/../')}/../end`, join(root, 'wide'));
    await expect(mkdirInRoot(root, 'wide', 0o755)).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
  });

  test('a link is made in a directory inside the root, never over an existing entry, never through a dangling link', async () => {
    expect(await symlinkInRoot(root, '/config', 'mtab', '/proc/mounts', { uid: 12, gid: 34 })).toBe(true);
    expect(readlinkSync(join(root, 'etc/mtab'))).toBe('/proc/mounts');
    expect(lstatSync(join(root, 'etc/mtab'))).toMatchObject({ uid: 12, gid: 34 });
    expect(await symlinkInRoot(root, '/etc', 'mtab', '/elsewhere')).toBe(false);
    expect(readlinkSync(join(root, 'etc/mtab'))).toBe('/proc/mounts');
    for (const directory of ['/dangling', '/no/such', '/sized'])
      expect(await symlinkInRoot(root, directory, 'x', '/proc/mounts')).toBe(false);
  });

  test('writing replaces a link, a FIFO or a file, follows nothing, leaves no temporary file', async () => {
    for (const name of ['absolute', 'etc/fifo', 'sized', 'fresh']) {
      await writeFileInRoot(root, name, bytes(`new ${name}`), { mode: 0o640, uid: 12, gid: 34 });
      expect(readFileSync(join(root, name), 'utf8')).toBe(`new ${name}`);
      expect(lstatSync(join(root, name))).toMatchObject({
        uid: 12,
        gid: 34,
        mode: constants.S_IFREG | 0o640,
      });
    }
    expect(readFileSync(join(scratch, 'secret'), 'utf8')).toBe('outside');
    await expect(writeFileInRoot(root, 'etc', bytes('x'), { mode: 0o600 })).rejects.toMatchObject({
      code: 'EISDIR',
    });
    await expect(writeFileInRoot(root, 'nowhere/x', bytes('x'), { mode: 0o600 })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(
      readdirSync(root)
        .concat(readdirSync(join(root, 'etc')))
        .filter((name) => name.endsWith('.tmp')),
    ).toEqual([]);
  });

  test('an atomic write sets content and mode and leaves no other file', async () => {
    const path = join(scratch, 'state.json');
    await writeAtomic(path, bytes('one'), 0o600);
    await writeAtomic(path, bytes('two'), 0o644);
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(statSync(path).mode & 0o777).toBe(0o644);
    await expect(writeAtomic(join(scratch, 'no/x'), bytes(''), 0o600)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(readdirSync(scratch).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('no descriptor stays open', async () => {
    const before = openFds();
    await readFileInRoot(root, 'secret', { bytesMax });
    await readFileInRoot(root, 'none', { bytesMax });
    await expect(readFileInRoot(root, 'etc', { bytesMax })).rejects.toThrow();
    await writeFileInRoot(root, 'fresh', bytes(''), { mode: 0o600 });
    await mkdirInRoot(root, 'more/of/it', 0o755);
    await writeAtomic(join(scratch, 'x'), bytes(''), 0o600);
    expect(openFds()).toBe(before);
  });
});

describeAsRoot('file calls relative to a directory', () => {
  const scratch = scratchDirectory('files-at');
  const open = (): number => openSync(scratch, constants.O_RDONLY | constants.O_DIRECTORY);

  test('names, links, owners, modes and times are set and read', () => {
    const directory = open();
    at.mkdirAt(directory, 'sub', 0o700);
    closeSync(at.openAt(directory, 'file', constants.O_CREAT | constants.O_WRONLY, 0o600));
    at.linkAt(directory, 'file', directory, 'hard');
    at.symlinkAt('file', directory, 'soft');
    expect(Buffer.from(at.readlinkAt(directory, 'soft')).toString()).toBe('file');
    at.chownAt(directory, 'soft', 7, 8);
    at.utimensAt(directory, 'soft', -1n, 1_000_000_000_000_000_001n);
    expect(lstatSync(join(scratch, 'soft'), { bigint: true })).toMatchObject({
      uid: 7n,
      gid: 8n,
      mtimeNs: 1_000_000_000_000_000_001n,
    });
    expect(statSync(join(scratch, 'file'))).toMatchObject({ uid: 0, gid: 0, nlink: 2 });
    at.chmodAt(directory, 'file', 0o4755);
    expect(statSync(join(scratch, 'hard')).mode & 0o7777).toBe(0o4755);
    expect(() => at.chmodAt(directory, 'soft', 0o777)).toThrow(/EOPNOTSUPP/u);
    at.renameAt(directory, 'hard', directory, 'sub/moved');
    expect(at.unlinkAt(directory, 'sub/moved')).toBe(true);
    expect(at.unlinkAt(directory, 'sub/moved')).toBe(false);
    expect(at.rmdirAt(directory, 'sub')).toBe(true);
    expect(at.rmdirAt(directory, 'sub')).toBe(false);
    closeSync(directory);
  });

  test('devices have their numbers', () => {
    const directory = open();
    at.mknodAt(directory, 'device', constants.S_IFBLK | 0o600, 259, 0x12345);
    expect(lstatSync(join(scratch, 'device'), { bigint: true }).rdev).toBe(0x12310345n);
    at.mknodAt(directory, 'whiteout', constants.S_IFCHR, 0, 0);
    expect(lstatSync(join(scratch, 'whiteout'))).toMatchObject({ rdev: 0, mode: constants.S_IFCHR });
    closeSync(directory);
  });

  test('extended attributes are set and read, of files, links and names that are not UTF-8', () => {
    const directory = open();
    const odd = Uint8Array.from([0x66, 0xff, 0x20]);
    closeSync(at.openAt(directory, odd, constants.O_CREAT | constants.O_WRONLY, 0o600));
    at.symlinkAt('nowhere', directory, 'link');
    for (const name of [odd, 'link']) {
      at.setXattrAt(directory, name, 'trusted.troupe', Uint8Array.from([0, 1, 2]));
      expect(at.listXattrsAt(directory, name)).toEqual(['trusted.troupe']);
      expect(at.getXattrAt(directory, name, 'trusted.troupe')).toEqual(Uint8Array.from([0, 1, 2]));
      expect(at.getXattrAt(directory, name, 'trusted.other')).toBeUndefined();
    }
    const fd = at.openAt(directory, odd, constants.O_RDONLY);
    at.setXattrOfFd(fd, 'trusted.second', new Uint8Array());
    at.chownFd(fd, 5, 6);
    expect(fstatSync(fd)).toMatchObject({ uid: 5, gid: 6 });
    expect(at.getXattrAt(directory, odd, 'trusted.second')).toHaveLength(0);
    closeSync(fd);
    expect(() => at.unlinkAt(directory, Uint8Array.from([0x61, 0]))).toThrow(/NUL/u);
    closeSync(directory);
  });

  test('S54: a path that passes a link or leaves the directory is refused', () => {
    const directory = open();
    mkdirSync(join(scratch, 'inner'));
    symlinkSync('inner', join(scratch, 'alias'));
    closeSync(at.openBeneath(directory, 'inner', constants.O_RDONLY));
    const attempts = ['alias', 'alias/x', '../etc', '/etc', 'inner/../../etc'];
    const errors = attempts.map((path) => {
      try {
        return closeSync(at.openBeneath(directory, path, constants.O_RDONLY));
      } catch (error) {
        return error;
      }
    });
    expect(errors.map(at.isEscape)).toEqual(attempts.map(() => true));
    closeSync(at.openBeneath(directory, '/alias', constants.O_RDONLY, 0, 'inRoot'));
    closeSync(directory);
  });

  test('S54 S58: a path with .. is opened during endless renames: the kernel answers EAGAIN, and the call is repeated', async () => {
    const directory = open();
    mkdirSync(join(scratch, 'climb/down'), { recursive: true });
    const renamer = new Worker(RENAMER, { eval: true, workerData: join(scratch, 'renamed') });
    await once(renamer, 'message');
    try {
      for (let round = 0; round < 20_000; round += 1)
        closeSync(at.openBeneath(directory, 'climb/down/../down/../down/..', O_PATH, 0, 'inRoot'));
      for (let round = 0; round < 2000; round += 1)
        expect(await resolveInRoot(scratch, 'climb/down/../down/../down/..')).toBe(join(scratch, 'climb'));
    } finally {
      await renamer.terminate();
      closeSync(directory);
    }
  });
});

/** Until it is ended; its argument is a path of its own. */
const RENAMER = `
const { renameSync, writeFileSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
writeFileSync(workerData, '');
parentPort.postMessage('begun');
for (;;) {
  renameSync(workerData, workerData + '2');
  renameSync(workerData + '2', workerData);
}
`;

describeAsRoot('a locked directory', () => {
  const scratch = scratchDirectory('lock');

  test('F83: a second holder is refused with the pid of the first, and gets it after the first is gone', async () => {
    const lock = await lockDirectory(scratch);
    await expect(lockDirectory(scratch)).rejects.toMatchObject({
      fault: { kind: 'conflict', message: `lock ${scratch}: held by process ${process.pid}` },
    });
    const tool = { env: {}, timeoutMs: EVENT_MS, clock: realClock() };
    const taken = await runTool({ ...tool, argv: ['/usr/bin/flock', '-n', scratch, '/bin/true'] });
    expect(taken.exitCode).toBe(1);
    await lock.release();
    await (await lockDirectory(scratch)).release();
  });

  test('the usage of the file system is read', async () => {
    // an empty tmpfs, as the /tmp of a node with systemd, uses nothing
    writeFileSync(join(scratch, 'content'), 'content');
    const usage = await filesystemSpace(scratch);
    expect(usage.usedBytes).toBeGreaterThan(0n);
    expect(usage.usedBytes + usage.availableBytes).toBeLessThanOrEqual(usage.capacityBytes);
    expect(usage.inodesUsed).toBeLessThanOrEqual(usage.inodes);
    expect(await filesystemType('/proc')).toBe(0x9fa0);
  });
});

describe('/proc/locks', () => {
  test('the holder of an flock is found by device and inode', () => {
    const text =
      '1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 08:01:77 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 13 08:01:78 0 EOF\n';
    expect(parseLocks(text, 0x801n, 77n)).toBe(12);
    expect(parseLocks(text, 0x801n, 78n)).toBeUndefined();
    expect(parseLocks(text, 0x802n, 77n)).toBeUndefined();
  });
});
