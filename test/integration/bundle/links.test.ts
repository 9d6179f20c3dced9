/** Links of the image in the places that the runtime and we write to: they lead inside, or nowhere, and never out. */
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import { mountOf } from '../../unit/oci/runtime/spec/fixtures.ts';
import { bundleInput, fx, makeMachine, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';
import { withProtectedLinks } from '../../support/protected-links.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, links of images: ${reason}\n`);

unless(describe, reason)('links of the image', () => {
  let machine: Machine;
  let canary: string;
  beforeEach(async () => {
    machine = await makeMachine();
    canary = join(machine.dir, 'canary');
    mkdirSync(canary);
    writeFileSync(join(canary, 'secret'), 'untouched\n');
  });
  afterEach(() => machine.remove());

  /** The ways that a link can name the canary: from the host's root, and by more steps up than there are. */
  const targets = (): readonly string[] => [canary, `${'../'.repeat(20)}${canary.slice(1)}`];

  function link(place: string, target: string): void {
    const path = join(machine.rootfs, place);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(join(path, '..'), { recursive: true });
    symlinkSync(target, path);
  }

  /** Writes the bundle and runs it; a refusal of ours or of the runtime is as good as a run. */
  async function runOrRefuse(changes: Parameters<typeof bundleInput>[1]): Promise<string> {
    try {
      await machine.writer.writeBundle(bundleInput(machine, changes), fx);
      return await machine.run();
    } catch (error) {
      expect(
        error instanceof FaultError || (error instanceof Error && /runc|E[A-Z]+/u.test(error.message)),
        String(error),
      ).toBe(true);
      return '';
    }
  }

  function expectUntouched(): void {
    expect(readdirSync(canary)).toEqual(['secret']);
    expect(readFileSync(join(canary, 'secret'), 'utf8')).toBe('untouched\n');
  }

  test.each(['etc', 'run', 'tmp', 'var', 'home'])(
    'S07 S44: /%s: the working directory, volumes and mounts stay in the container',
    async (name) => {
      for (const target of targets()) {
        link(name, target);
        await runOrRefuse({
          image: { workingDir: `/${name}/made/by/workdir`, volumes: [`/${name}/made/by/volume`] },
          spec: {
            command: ['/bin/true'],
            mounts: [mountOf(`/${name}/made/by/mount`, { hostPath: machine.dir })],
          },
        });
        expectUntouched();
      }
    },
  );

  test.each([
    'etc/mtab',
    'etc/passwd',
    'etc/group',
    'etc/hosts',
    'etc/resolv.conf',
    'etc/hostname',
    'dev/shm',
    'dev/mqueue',
  ])('S07 S44: /%s: a file of the host under that name stays as it was', async (place) => {
    for (const target of targets()) {
      link(place, `${target}/${place.startsWith('etc') ? 'secret' : ''}`);
      const output = await runOrRefuse({
        spec: { command: ['/bin/sh', '-c', `echo overwritten; cat /${place}`] },
      });
      expect(output).not.toContain('untouched');
      expectUntouched();
    }
  });

  test.each(['proc', 'sys', 'dev'])('S07 S39: /%s: so does a volume at the link itself', async (name) => {
    for (const target of targets()) {
      link(name, target);
      for (const mounts of [[], [mountOf(`/${name}`, { hostPath: machine.dir })]]) {
        await runOrRefuse({ spec: { command: ['/bin/sh', '-c', `echo x > /${name}/file`], mounts } });
        expectUntouched();
      }
    }
  });

  test('S40: masked paths stay masked when the image has /dev/null as a link', async () => {
    link('dev/null', '/proc/sys/kernel/core_pattern');
    const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
    const output = await runOrRefuse({
      spec: {
        command: [
          '/bin/sh',
          '-c',
          'echo [$(cat /proc/version)]; echo overwritten > /proc/version; echo overwritten > /proc/sys/kernel/core_pattern',
        ],
      },
      security: {
        maskedPaths: ['/proc/version'],
        namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
      },
    });
    expect(output).toContain('[]');
    expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before);
  });

  test('S54: links of other users in /tmp lead to users, directories and targets of mounts, as those of root do', async () => {
    const { rootfs, dir } = machine;
    chmodSync(join(rootfs, 'tmp'), 0o1777);
    mkdirSync(join(rootfs, 'real'));
    renameSync(join(rootfs, 'etc/passwd'), join(rootfs, 'real/passwd'));
    for (const [place, target] of [
      ['etc/passwd', '../tmp/passwd'],
      ['tmp/passwd', '/real/passwd'],
      ['tmp/dir', canary],
      ['tmp/mounted', '../real'],
    ] as const) {
      link(place, target);
      lchownSync(join(rootfs, place), 1000, 1000);
    }
    const write = (hostPath: string): ReturnType<Machine['writer']['writeBundle']> =>
      machine.writer.writeBundle(
        bundleInput(machine, {
          image: { workingDir: '/tmp/dir', volumes: ['/tmp/dir/volume'], user: 'alice' },
          spec: { command: ['/bin/true'], mounts: [mountOf('/tmp/mounted', { hostPath })] },
        }),
        fx,
      );
    await withProtectedLinks(async () => {
      expect(await write(dir)).toMatchObject({ uid: 1000, gid: 1001 });
      await expect(write(join(canary, 'secret'))).rejects.toThrow(/the image has a directory there/u);
    });
    expect(readdirSync(join(rootfs, canary))).toEqual(['volume']);
    expectUntouched();
  });

  test('S57: the source of a volume is the one that was checked, though a link is swapped afterwards', async () => {
    const [real, other, volume] = [
      join(machine.dir, 'real'),
      join(machine.dir, 'other'),
      join(machine.dir, 'volume'),
    ];
    for (const path of [real, other]) {
      mkdirSync(path);
      writeFileSync(join(path, 'name'), path);
    }
    symlinkSync(real, volume);
    await machine.writer.writeBundle(
      bundleInput(machine, {
        spec: { mounts: [mountOf('/v', { hostPath: volume })], command: ['/bin/cat', '/v/name'] },
      }),
      fx,
    );
    symlinkSync(other, `${volume}.new`);
    renameSync(`${volume}.new`, volume);
    expect(await machine.run()).toBe(real);
  });
});
