/** What the bundle writer does to the disk, and what it refuses to do. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../src/base/fault.ts';
import type { BundleFiles } from '../../../src/oci/runtime/bundle/bundle.ts';
import { CONTAINER_ID, SANDBOX_ID, mountOf } from '../../unit/oci/runtime/spec/fixtures.ts';
import { bundleInput, fx, makeMachine, nodeNamespaces, readConfig, whyNot } from './machine.ts';
import type { BundleConfig, Changes, Machine } from './machine.ts';
import { faultOf } from '../../support/fault-of.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, files of bundles: ${reason}\n`);

let machine: Machine;
beforeEach(async () => {
  if (reason === undefined) machine = await makeMachine();
});
afterEach(() => {
  if (reason === undefined) machine.remove();
});

const write = (changes: Changes = {}): ReturnType<BundleFiles['writeBundle']> =>
  machine.writer.writeBundle(bundleInput(machine, changes), fx);
const faultWith = (changes: Changes): Promise<Fault> => faultOf(write(changes));
const config = (): BundleConfig => readConfig(machine) as BundleConfig;

unless(describe, reason)('host paths', () => {
  test('a missing source becomes a directory of mode 0755, a link is resolved', async () => {
    mkdirSync(join(machine.dir, 'real'));
    symlinkSync('real', join(machine.dir, 'link'));
    const missing = join(machine.dir, 'a/b');
    await write({
      spec: {
        mounts: [
          mountOf('/missing', { hostPath: missing }),
          mountOf('/linked', { hostPath: join(machine.dir, 'link') }),
        ],
      },
    });
    expect(statSync(missing).mode & 0o777).toBe(0o755);
    expect(config().mounts.find(({ destination }) => destination === '/linked')?.source).toBe(
      join(machine.dir, 'real'),
    );
  });

  test('a source below a file is refused by its field, and a missing source like /etc/hostname is not created', async () => {
    writeFileSync(join(machine.dir, 'file'), '');
    const fault = await faultWith({
      spec: { mounts: [mountOf('/x', { hostPath: join(machine.dir, 'file/below') })] },
    });
    expect(fault).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.host_path' });
  });

  test('a file mounted on a directory of the image, and the reverse, are refused by the path; links of the image are followed inside it', async () => {
    const [file, directory] = [join(machine.dir, 'file'), join(machine.dir, 'directory')];
    writeFileSync(file, '');
    mkdirSync(directory);
    symlinkSync('etc', join(machine.rootfs, 'linked'));
    for (const [place, hostPath, words] of [
      ['/etc', file, 'the source is no directory, but the image has a directory there'],
      ['/linked', file, 'the source is no directory, but the image has a directory there'],
      ['/etc/passwd', directory, 'the source is a directory, but the image has a file there'],
    ] as const) {
      const fault = await faultWith({ spec: { mounts: [mountOf(place, { hostPath })] } });
      expect(fault).toMatchObject({
        kind: 'invalidRequest',
        subject: 'mounts.container_path',
        message: `mount ${hostPath} at ${place}: ${words}`,
      });
    }
    const inOther = [
      mountOf('/etc', { hostPath: directory }),
      mountOf('/etc/passwd', { hostPath: file }),
      mountOf('/dev/shm', { hostPath: directory }),
    ];
    await write({ spec: { mounts: [...inOther, mountOf('/new/file', { hostPath: file })] } });
  });

  test('a volume above the root file systems of containers sees their unmounts; others are private', async () => {
    const other = join(machine.dir, 'other');
    mkdirSync(other);
    await write({
      spec: { mounts: [mountOf('/all', { hostPath: machine.dir }), mountOf('/other', { hostPath: other })] },
    });
    const options = (place: string): readonly string[] =>
      config().mounts.find(({ destination }) => destination === place)?.options ?? [];
    expect([options('/all')[1], options('/other')[1]]).toEqual(['rslave', 'rprivate']);
  });

  test('S20 the image’s volumes are directories of the container, whatever links the image has; a file in their place is refused', async () => {
    const canary = join(machine.dir, 'canary');
    mkdirSync(canary);
    symlinkSync(canary, join(machine.rootfs, 'out'));
    await write({ image: { volumes: ['/data/a', '/etc'] } });
    expect(statSync(join(machine.rootfs, 'data/a')).isDirectory()).toBe(true);
    await write({ image: { volumes: ['/out/made'] } }).catch(() => undefined);
    expect(existsSync(join(canary, 'made'))).toBe(false);
    expect(await faultWith({ image: { volumes: ['/etc/passwd/x'] } })).toMatchObject({
      kind: 'invalidRequest',
      message: expect.stringContaining('make volume /etc/passwd/x of the image') as string,
    });
  });

  test('S55 a working directory and volumes at dangling links are made at the links’ targets, in the container', async () => {
    symlinkSync('/run', join(machine.rootfs, 'var-run'));
    symlinkSync('../mnt/data', join(machine.rootfs, 'etc/data'));
    await write({
      spec: { command: ['/bin/sh', '-c', 'pwd; ls -d /mnt/data/*'] },
      image: { workingDir: '/var-run/app', volumes: ['/etc/data/volume'] },
    });
    expect(await machine.run()).toBe('/run/app\n/mnt/data/volume\n');
  });

  test('S20 S28 volumes with more directories than any image needs are refused soon, also when links multiply them', async () => {
    const deep = '/d'.repeat(250);
    const volumes = Array.from({ length: 5 }, (_none, at) => `/v${at}${deep}`);
    expect(await faultWith({ image: { volumes } })).toMatchObject({
      kind: 'invalidRequest',
      message: expect.stringContaining('the image names more than 1024 directories') as string,
    });
    for (const at of volumes.keys()) symlinkSync(`/l${at}${deep}`, join(machine.rootfs, `link${at}`));
    expect(
      await faultWith({ image: { volumes: [...volumes.keys()].map((at) => `/link${at}`) } }),
    ).toMatchObject({
      kind: 'invalidRequest',
      message: expect.stringContaining('the image names more than 1024 directories') as string,
    });
  });

  test('S20 a volume or working directory with a name too long is the image’s error, not the machine’s', async () => {
    const long = `/${'x'.repeat(256)}`;
    for (const image of [{ volumes: [long] }, { workingDir: long }])
      expect(await faultWith({ image })).toMatchObject({
        kind: 'invalidRequest',
        message: expect.stringContaining('a name in it is too long') as string,
      });
  });

  test('S20 an image’s volume at a file that every container has is that file', async () => {
    await write({
      spec: { command: ['/bin/sh', '-c', 'test -f /etc/hosts && echo a file'] },
      image: { volumes: ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf/'] },
    });
    expect(await machine.run()).toBe('a file\n');
  });

  test('the request can mount a file at an image’s volume where the image has nothing', async () => {
    const file = join(machine.dir, 'app.conf');
    writeFileSync(file, 'of the request\n');
    const mounts = [mountOf('/srv/app.conf/', { hostPath: file })];
    await write({
      spec: { command: ['/bin/cat', '/srv/app.conf'], mounts },
      image: { volumes: ['/srv/app.conf', '/srv/other/'] },
    });
    expect(await machine.run()).toBe('of the request\n');
    expect(statSync(join(machine.rootfs, 'srv/other')).isDirectory()).toBe(true);
  });

  test('S55 a working directory that is a link to itself is refused as the image’s error, not the machine’s', async () => {
    symlinkSync('loop', join(machine.rootfs, 'loop'));
    expect(await faultWith({ image: { workingDir: '/loop' } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'working_dir',
    });
    expect(await faultWith({ image: { volumes: ['/loop/x'] } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'image',
    });
  });

  test('a refused request makes no directory', async () => {
    const missing = join(machine.dir, 'never');
    const capabilities = { add: ['CAP_NO_SUCH'], drop: [], addAmbient: [] };
    const changes = {
      spec: { mounts: [mountOf('/x', { hostPath: missing })] },
      security: { capabilities, namespaces: nodeNamespaces },
    };
    expect((await faultWith(changes)).kind).toBe('invalidRequest');
    expect(existsSync(missing)).toBe(false);
    expect(existsSync(join(machine.dir, 'logs'))).toBe(false);
  });

  test.each(['relative', '', '/with\0nul'])('source %j is refused', async (hostPath) => {
    expect(await faultWith({ spec: { mounts: [mountOf('/x', { hostPath })] } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'mounts.host_path',
    });
  });

  test('S71: shared propagation needs a shared source', async () => {
    // a mount of our own, private for certain
    const volume = join(machine.dir, 'volume');
    mkdirSync(volume);
    expect(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', volume]).status).toBe(0);
    try {
      spawnSync('mount', ['--make-private', volume]);
      const asked = (propagation: 'bidirectional' | 'hostToContainer'): Changes => ({
        spec: { mounts: [mountOf('/v', { hostPath: volume, propagation })] },
      });
      expect(await faultWith(asked('bidirectional'))).toMatchObject({
        kind: 'invalidRequest',
        subject: 'mounts.propagation',
      });
      expect(await faultWith(asked('hostToContainer'))).toMatchObject({
        kind: 'invalidRequest',
        subject: 'mounts.propagation',
      });
      spawnSync('mount', ['--make-shared', volume]);
      await write(asked('bidirectional'));
      expect(config().mounts.find(({ destination }) => destination === '/v')?.options).toContain('rshared');
      await write(asked('hostToContainer'));
      expect(config().mounts.find(({ destination }) => destination === '/v')?.options).toContain('rslave');
    } finally {
      spawnSync('umount', [volume]);
    }
  });

  test('a recursively read-only volume makes nested mounts read-only, too', async () => {
    const volume = join(machine.dir, 'volume');
    mkdirSync(join(volume, 'nested'), { recursive: true });
    expect(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', join(volume, 'nested')]).status).toBe(0);
    try {
      const mount = mountOf('/v', { hostPath: volume, readonly: true, recursiveReadOnly: true });
      await write({
        spec: { mounts: [mount], command: ['/bin/sh', '-c', 'echo x > /v/nested/file; echo done'] },
      });
      const output = await machine.run();
      expect(output).toContain('/v/nested/file: Read-only file system');
      expect(output).toContain('done');
    } finally {
      spawnSync('umount', [join(volume, 'nested')]);
    }
  });
});

unless(describe, reason)('inside the root file system', () => {
  test('S55: a working directory behind a link of the image is made inside the root', async () => {
    const canary = join(machine.dir, 'canary');
    mkdirSync(canary);
    symlinkSync(canary, join(machine.rootfs, 'link'));
    await write({ image: { workingDir: '/link/new' } }).catch(() => undefined);
    expect(existsSync(join(canary, 'new'))).toBe(false);
    symlinkSync('/tmp', join(machine.rootfs, 'inside'));
    await write({ image: { workingDir: '/inside/new' } });
    expect(statSync(join(machine.rootfs, 'tmp/new')).isDirectory()).toBe(true);
  });

  test('a working directory in whose place the image has a file is refused by its field', async () => {
    const fault = await faultWith({ spec: { workingDir: '/etc/passwd/below' } });
    expect(fault).toMatchObject({
      kind: 'invalidRequest',
      subject: 'working_dir',
      message: expect.stringContaining('/etc/passwd/below') as string,
    });
  });

  test('S10, S28, S46: a passwd that is huge, a FIFO, a device or a link out of the root is refused or not followed', async () => {
    const passwd = join(machine.rootfs, 'etc/passwd');
    truncateSync(passwd, 20 * 1024 ** 3);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    spawnSync('mkfifo', [passwd]);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    spawnSync('mknod', [passwd, 'c', '1', '5']);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    symlinkSync('/../../../../../../../etc/passwd', passwd);
    // inside the root the link names itself
    expect((await faultWith({ image: { user: 'daemon' } })).message).toMatch(/passwd/u);
  });
});

unless(describe, reason)('S09, S32, S75: the log path', () => {
  const logs = (): string => join(machine.dir, 'logs');

  test('its directories are made, the path is absolute', async () => {
    const effective = await write({ spec: { logPath: 'app/0.log' } });
    expect(effective.logPath).toBe(join(logs(), 'app/0.log'));
    expect(statSync(join(logs(), 'app')).isDirectory()).toBe(true);
    expect((await write({ spec: { logPath: '' } })).logPath).toBe('');
  });

  test('without a log directory the log goes below our own root', async () => {
    const sandbox = { namespaces: nodeNamespaces, cgroupParent: machine.cgroupParent, logDirectory: '' };
    const effective = await write({ spec: { logPath: 'app.log' }, sandbox });
    expect(effective.logPath).toBe(join(machine.layout.ownLogDirectory(SANDBOX_ID), 'app.log'));
  });

  test.each(['link', 'fifo', 'device', 'directory'])('a %s in its place is refused', async (what) => {
    mkdirSync(join(logs(), 'app'), { recursive: true });
    const path = join(logs(), 'app/0.log');
    if (what === 'link') symlinkSync('/tmp/secret', path);
    if (what === 'fifo') spawnSync('mkfifo', [path]);
    if (what === 'device') spawnSync('mknod', [path, 'c', '1', '3']);
    if (what === 'directory') mkdirSync(path);
    expect(await faultWith({ spec: { logPath: 'app/0.log' } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'log_path',
    });
  });

  test('a link among its directories is refused', async () => {
    mkdirSync(logs());
    symlinkSync(machine.dir, join(logs(), 'app'));
    expect(await faultWith({ spec: { logPath: 'app/0.log' } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'log_path',
    });
    expect(lstatSync(join(logs(), 'app')).isSymbolicLink()).toBe(true);
  });
});

unless(describe, reason)('the rest', () => {
  test('namespaces of an ended process are not joined', async () => {
    const input = bundleInput(machine);
    const gone = {
      pid: process.pid,
      startTicks: 1n,
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    };
    await expect(machine.writer.writeBundle({ ...input, pidNamespaceOf: gone }, fx)).rejects.toThrow(
      /has exited/u,
    );
  });

  test('an aborted effect touches no host path', async () => {
    const missing = join(machine.dir, 'never');
    const aborted = { ...fx, signal: AbortSignal.abort() };
    const input = bundleInput(machine, { spec: { mounts: [mountOf('/x', { hostPath: missing })] } });
    await expect(machine.writer.writeBundle(input, aborted)).rejects.toMatchObject({
      fault: { kind: 'cancelled' },
    });
    expect(existsSync(missing)).toBe(false);
  });
});

unless(describe, reason)('a pod in a shim', () => {
  test('has the cgroups of sandbox and container in one notation, as containerd writes them', async () => {
    const slice = `${machine.cgroupParent.slice(1).replaceAll('-', '')}.slice`;
    const runtime = { name: 'kata', needsPause: true };
    const input = bundleInput(machine, { sandbox: { cgroupParent: slice, runtime } });
    await machine.writer.writeBundle(input, fx);
    await machine.writer.writePauseBundle({ id: SANDBOX_ID, sandbox: input.sandbox }, fx);
    const pause = JSON.parse(
      readFileSync(join(machine.layout.pauseBundleDir(SANDBOX_ID), 'config.json'), 'utf8'),
    ) as { linux: { cgroupsPath: string } };
    expect([config().linux.cgroupsPath, pause.linux.cgroupsPath]).toEqual([
      `${slice}:troupe-vm:${CONTAINER_ID}`,
      `${slice}:troupe-pause:${SANDBOX_ID}`,
    ]);
  });
});
