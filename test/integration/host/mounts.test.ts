import {
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { readMountPlaces } from '../../../src/host/mounts/mount-places.ts';
import { findMount, readMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import type { MountInfo } from '../../../src/host/mounts/mountinfo.ts';
import {
  mountBind,
  mountFilesystem,
  mountTmpfs,
  remountReadOnly,
  setPropagation,
  unmount,
} from '../../../src/host/mounts/mounts.ts';
import { mountOverlay, mountOverlayOldWay } from '../../../src/host/mounts/overlay.ts';
import type { OverlayRequest } from '../../../src/host/mounts/overlay.ts';
import { describeAsRoot, mountPointsBelow, scratchDirectory } from './support.ts';
import { injects } from '../../support/faults/injects.ts';

const busyMount = injects('F49', 'EBUSY from umount of a mount in use');

describeAsRoot('mounts', () => {
  const scratch = scratchDirectory('mounts');
  let count = 0;
  const makeDirectory = (name = `d${(count += 1)}`): string => {
    const path = join(scratch, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  /** Overlays need upper and work on a file system that is not an overlay. */
  const makeTmpfs = async (): Promise<string> => {
    const target = makeDirectory();
    await mountTmpfs({ target, source: 'troupe', sizeBytes: 64 * 1024 * 1024, mode: 0o755 });
    return target;
  };

  test('a tmpfs has its size, mode and flags', async () => {
    const target = makeDirectory('a b\\c');
    await mountTmpfs({
      target,
      source: 'shm',
      sizeBytes: 65536n,
      mode: 0o1777,
      nosuid: true,
      nodev: true,
      noexec: true,
    });
    const mount = findMount(await readMountInfo(), target);
    expect(mount).toMatchObject({ fsType: 'tmpfs', source: 'shm' });
    expect(mount?.options).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev', 'noexec']));
    expect(mount?.superOptions).toContain('size=64k');
    expect(await unmount(target)).toBe(true);
  });

  test('a path is on the mount that was made last, until that is gone; a new thread knows them all', async () => {
    const target = makeDirectory('places \\ é');
    const on = async (): Promise<string | undefined> =>
      (await readMountPlaces()).over(join(target, 'x/y'))?.mountPoint;
    const before = await on();
    expect(target.startsWith(before ?? 'nothing')).toBe(true);
    await mountTmpfs({ target, source: 'troupe', sizeBytes: 65536, mode: 0o755 });
    expect(await on()).toBe(target);
    await mountTmpfs({ target, source: 'troupe', sizeBytes: 65536, mode: 0o755 });
    expect(await unmount(target)).toBe(true);
    expect(await on()).toBe(target);
    await stopKernelThread();
    expect(await on()).toBe(target);
    expect(await unmount(target)).toBe(true);
    expect(await on()).toBe(before);
  });

  test('unmount can be repeated: a path that is not mounted or missing is no error', async () => {
    const target = await makeTmpfs();
    expect(await unmount(target)).toBe(true);
    expect(await unmount(target)).toBe(false);
    expect(await unmount(join(target, 'nothing'))).toBe(false);
    expect(await unmount('/proc/self/stat/x')).toBe(false);
  });

  test('F49: a mount in use gives EBUSY, a lazy unmount detaches it', async () => {
    const target = await makeTmpfs();
    const fd = openSync(target, 'r');
    await expect(unmount(target)).rejects.toMatchObject({ code: 'EBUSY', fault: { subject: target } });
    busyMount.happened();
    expect(await unmount(target, { lazy: true })).toBe(true);
    expect(mountPointsBelow(target)).toEqual([]);
    closeSync(fd);
  });

  test('unmount does not follow a link', async () => {
    const target = await makeTmpfs();
    const link = join(scratch, 'link');
    symlinkSync(target, link);
    expect(await unmount(link)).toBe(false);
    expect(mountPointsBelow(target)).toEqual([target]);
    await unmount(target);
  });

  test.each([
    ['one option per layer', 130, mountOverlay],
    ['one page of options, for kernels before 6.8', 100, mountOverlayOldWay],
  ])(
    'an overlay of many layers with long, odd names, the top one winning: %s',
    async (_way, layers, mountIt) => {
      const base = await makeTmpfs();
      const lower = Array.from({ length: layers }, (_none, index) =>
        join(base, `${index},:${'x'.repeat(index === 3 ? 240 : 50)}`),
      );
      for (const [index, layer] of lower.entries()) {
        mkdirSync(layer);
        writeFileSync(join(layer, 'who'), String(index));
        writeFileSync(join(layer, `only-${index}`), '');
      }
      const [upper, work] = [join(base, 'upper'), join(base, 'work')];
      for (const path of [upper, work]) mkdirSync(path);
      const target = makeDirectory();
      await mountIt({ target, lower, upper, work, source: 'troupe' });
      expect(readFileSync(join(target, 'who'), 'utf8')).toBe('0');
      expect(readdirSync(target)).toHaveLength(layers + 1);
      writeFileSync(join(target, 'new'), 'x');
      expect(readdirSync(upper)).toEqual(['new']);
      expect(await unmount(target)).toBe(true);
      expect(await unmount(base)).toBe(true);
    },
  );

  test('an overlay without upper is read-only; volatile is accepted; a missing layer is named in the error', async () => {
    const base = await makeTmpfs();
    const [one, two, upper, work] = ['1', '2', 'upper', 'work'].map((name) => join(base, name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const path of [one, two, upper, work]) mkdirSync(path);
    const target = makeDirectory();
    await mountOverlay({ target, lower: [one, two], source: 'troupe' });
    expect(() => writeFileSync(join(target, 'x'), '')).toThrow(/EROFS/u);
    await unmount(target);
    await mountOverlay({
      target,
      lower: [one],
      upper,
      work,
      source: 'troupe',
      options: [['volatile', true]],
      nosuid: true,
    });
    const mount = findMount(await readMountInfo(), target);
    // newer kernels show it as one of the values of fsync=
    expect(mount?.superOptions.filter((option) => option.endsWith('volatile'))).toHaveLength(1);
    expect(mount?.options).toContain('nosuid');
    await unmount(target);
    const missing = mountOverlay({ target, lower: [one, join(base, 'no')], source: 'troupe' });
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT', fault: { subject: target } });
    await expect(
      mountOverlay({ target, lower: [one], source: 'x', options: [['bogus', '1']] }),
    ).rejects.toThrow(/bogus.*bogus/u);
    expect(mountPointsBelow(target)).toEqual([]);
    await unmount(base);
  });

  interface OverlayPlace {
    readonly base: string;
    /** Makes directories of these names. */
    readonly at: (...names: string[]) => string[];
    readonly request: { readonly target: string; readonly upper: string; readonly work: string };
  }

  const overlayPlace = async (): Promise<OverlayPlace> => {
    const base = await makeTmpfs();
    onTestFinished(async () => void (await unmount(base)));
    const at = (...names: string[]): string[] => {
      const paths = names.map((name) => join(base, name));
      for (const path of paths) mkdirSync(path, { recursive: true });
      return paths;
    };
    const [upper = '', work = ''] = at('upper', 'work');
    return { base, at, request: { target: makeDirectory(), upper, work } };
  };

  /** Mounts it and unmounts it again; what the kernel showed of it. */
  const shown = async (request: OverlayRequest): Promise<MountInfo | undefined> => {
    await mountOverlay(request);
    const mount = findMount(await readMountInfo(), request.target);
    expect(await unmount(request.target)).toBe(true);
    return mount;
  };

  test('an overlay of plain paths is mounted by one call, with its flags and options', async () => {
    const { base, at, request } = await overlayPlace();
    const lower = at('layers/0.a_b-C/diff', 'layers/1/diff');
    const options = [
      ['volatile', true],
      ['metacopy', 'on'],
    ] as const;
    const writable = await shown({ ...request, lower, source: 'troupe', options, nosuid: true, nodev: true });
    const layers = `lowerdir=${lower.join(':')}`;
    expect(writable?.source).toBe('troupe');
    expect(writable?.options).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev', 'relatime']));
    expect(writable?.options).not.toContain('noexec');
    expect(writable?.superOptions).toEqual(
      expect.arrayContaining([layers, `upperdir=${base}/upper`, `workdir=${base}/work`, 'metacopy=on', 'rw']),
    );
    const { target } = request;
    const flags = { readOnly: true, nosuid: true, nodev: true, noexec: true };
    const image = await shown({ target, lower, source: 'troupe', ...flags });
    expect(image?.options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec', 'relatime']));
    expect(image?.superOptions).toEqual(expect.arrayContaining([layers, 'ro']));
  });

  test.each([
    ['a comma', ['a,b'], {}],
    ['a colon', ['a:b'], {}],
    ['a backslash', ['a\\b'], {}],
    ['a quote', ['a"b'], {}],
    [
      'more than a page of paths',
      Array.from({ length: 40 }, (_none, index) => `${index}`.padEnd(120, 'x')),
      {},
    ],
    ['ID-mapped layers', ['a'], { isMapped: true }],
    ['a read-only mount of a writable file system', ['a'], { readOnly: true }],
  ])('an overlay with %s is mounted option by option', async (_what, names, more) => {
    const { base, at, request } = await overlayPlace();
    const lower = at(...names);
    for (const [index, layer] of lower.entries()) writeFileSync(join(layer, `f${index}`), '');
    const mount = await shown({ ...request, lower, source: 'troupe', ...more });
    expect(mount?.superOptions.filter((option) => option.startsWith(`lowerdir=${base}`))).toEqual([]);
    expect(mount?.superOptions).toContain('rw');
    await mountOverlay({ ...request, lower, source: 'troupe', ...more });
    expect(readdirSync(request.target)).toHaveLength(lower.length);
    expect(await unmount(request.target)).toBe(true);
  });

  test('a label goes to the kernel as its own option, with all its commas and colons', async () => {
    const { at, request } = await overlayPlace();
    const label = 'system_u:object_r:container_file_t:s0:c1,c2';
    const options = [['context', label]] as const;
    const outcome = await shown({ ...request, lower: at('a'), source: 'troupe', options }).catch(
      (error: unknown) => error,
    );
    // without SELinux the option is unknown, and the error says so
    if (outcome instanceof Error) expect(outcome.message).toMatch(/option context: EINVAL/u);
    else expect(outcome).toMatchObject({ fsType: 'overlay' });
  });

  test('a volatile overlay that is refused late has its reason, not the EINVAL for the mark of the first call', async () => {
    const { base, at, request } = await overlayPlace();
    const lower = at('a', 'a/inner');
    const options = [['volatile', true]] as const;
    const refused = mountOverlay({ ...request, lower, source: 'troupe', options });
    await expect(refused).rejects.toMatchObject({ code: 'ELOOP', fault: { subject: request.target } });
    expect(mountPointsBelow(base)).toEqual([base]);
  });

  test('a bind of a tree and of a file can be read-only', async () => {
    const base = await makeTmpfs();
    const inner = join(base, 'inner');
    mkdirSync(inner);
    await mountTmpfs({ target: inner, source: 'troupe', sizeBytes: 4096, mode: 0o755 });
    const target = makeDirectory();
    await mountBind({ source: base, target, readOnly: true, recursive: true });
    expect(() => writeFileSync(join(target, 'x'), '')).toThrow(/EROFS/u);
    expect(() => writeFileSync(join(target, 'inner/x'), '')).toThrow(/EROFS/u);
    writeFileSync(join(base, 'x'), 'still writable at its source');
    await unmount(join(target, 'inner'));
    await unmount(target);
    const file = join(scratch, 'file');
    writeFileSync(file, '');
    await mountBind({ source: join(base, 'x'), target: file });
    expect(readFileSync(file, 'utf8')).toBe('still writable at its source');
    await remountReadOnly(file);
    expect(() => writeFileSync(file, '')).toThrow(/EROFS/u);
    await unmount(file);
    await unmount(inner);
    await unmount(base);
  });

  test('propagation is set as requested', async () => {
    const target = await makeTmpfs();
    const now = async (): Promise<object> => {
      const mount = findMount(await readMountInfo(), target);
      return {
        shared: mount?.sharedGroup !== undefined,
        slave: mount?.masterGroup !== undefined,
        unbindable: mount?.isUnbindable,
      };
    };
    await setPropagation(target, 'shared');
    expect(await now()).toEqual({ shared: true, slave: false, unbindable: false });
    await setPropagation(target, 'unbindable', { recursive: true });
    expect(await now()).toEqual({ shared: false, slave: false, unbindable: true });
    await setPropagation(target, 'private');
    expect(await now()).toEqual({ shared: false, slave: false, unbindable: false });
    await unmount(target);
  });

  test('an unknown file system and a missing target are errors that name the target', async () => {
    const target = makeDirectory();
    await expect(mountFilesystem({ type: 'nosuchfs', target, source: 'x' })).rejects.toThrow(
      `mount nosuchfs on ${target}: ENODEV`,
    );
    const nowhere = join(scratch, 'nowhere');
    await expect(mountBind({ source: target, target: nowhere })).rejects.toThrow(
      `bind ${target} on ${nowhere}: ENOENT`,
    );
  });
});
