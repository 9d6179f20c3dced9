// Checkpoints taken by the running daemon; CRIU's part is a fake.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { containerConfig } from '../../e2e/support/pods.ts';
import { fakeCriu, RUNC } from './fake-criu.ts';
import { code, refusalOf } from './refusal.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import type { Made } from './pod.ts';

describePods('checkpoints', () => {
  const fake = fakeCriu();
  let world: World;
  let made: Made;
  let archives: string;

  beforeAll(async () => {
    world = await hostOnlyWorld('ckpt', {
      handlers: { fake: fake.runtime },
      config: `[runtime]\ncriu = "${fake.criu}"`,
    });
    made = await makePod(world, 'read', {
      runtimeHandler: 'fake',
      command: [
        'sh',
        '-c',
        'rm -r /etc; mkdir /etc; echo new > /etc/new; rm /bin/yes; printf x > "/odd name"; echo ready; exec sleep 3600',
      ],
    });
    await world.client.runtime.startContainer({ containerId: made.containerId });
    await world.client.runtime.execSync({
      containerId: made.containerId,
      cmd: ['sh', '-c', 'while ! [ -e "/odd name" ]; do :; done'],
      timeout: 60n,
    });
  });

  beforeEach(() => {
    fake.does('work');
    archives = mkdtempSync(join(fake.directory, 'archives-'));
  });

  afterAll(async () => {
    try {
      await removePod(world, made.sandboxId);
      expect(await closeWorld(world)).toEqual([]);
    } finally {
      fake.remove();
    }
  });

  const checkpoint = (location: string, timeout = 0n): Promise<unknown> =>
    world.client.runtime.checkpointContainer({ containerId: made.containerId, location, timeout });

  /** Its processes run: a frozen one would start nothing. */
  const runs = async (): Promise<void> => {
    const { exitCode } = await world.client.runtime.execSync({
      containerId: made.containerId,
      cmd: ['true'],
      timeout: 60n,
    });
    expect(exitCode).toBe(0);
    const root = join(world.instance.state, 'runtimes/fake');
    expect(execFileSync(RUNC, ['--root', root, 'state', made.containerId]).toString()).toContain(
      '"status": "running"',
    );
  };

  /** Neither an archive nor a part of one, and nothing of the work on it. */
  const leftNothing = (): void => {
    expect(readdirSync(archives)).toEqual([]);
    expect(readdirSync(join(world.instance.root, 'checkpoints'))).toEqual([]);
  };

  const noneDumps = (): void =>
    expect(execFileSync('ps', ['-e', '-o', 'args']).toString()).not.toMatch(
      /runtime --root\S+ .*checkpoint --image-path/u,
    );

  const names = (archive: string): string[] =>
    execFileSync('tar', ['--list', '--file', archive]).toString().trim().split('\n').toSorted();
  const content = (archive: string, name: string): string =>
    execFileSync('tar', ['--extract', '--to-stdout', '--file', archive, name]).toString();

  it('CheckpointContainer: the archive has the peers’ layout, is root’s alone and is read while the container is frozen; it runs on', async () => {
    const archive = join(archives, 'c.tar');
    await checkpoint(archive);
    expect(lstatSync(archive).mode & 0o7777).toBe(0o600);
    expect(readdirSync(archives)).toEqual(['c.tar']);
    expect(names(archive)).toEqual([
      'bind.mounts',
      'checkpoint/',
      'checkpoint/inventory.img',
      'config.dump',
      'container.log',
      'deleted.files',
      'dump.log',
      'rootfs-diff.tar',
      'spec.dump',
    ]);
    expect(content(archive, 'checkpoint/inventory.img')).toContain('"status": "paused"');
    expect(content(archive, 'dump.log')).toMatch(
      / checkpoint --image-path \S+ --work-path \S+ --file-locks --leave-running [0-9a-f]{64}\n$/u,
    );
    expect(JSON.parse(content(archive, 'config.dump'))).toMatchObject({
      id: made.containerId,
      name: 'main',
      runtime: 'fake',
      restored: false,
    });
    expect(content(archive, 'spec.dump')).toBe(
      readFileSync(join(world.instance.state, 'containers', made.containerId, 'bundle/config.json'), 'utf8'),
    );
    expect(content(archive, 'container.log')).toContain(' stdout F ready\n');
    await runs();
    expect(readdirSync(join(world.instance.root, 'checkpoints'))).toEqual([]);
  });

  it('CheckpointContainer: rootfs-diff.tar has the written files and deleted.files the deleted ones; mounts are in neither', async () => {
    const archive = join(archives, 'c.tar');
    await checkpoint(archive);
    const diff = join(archives, 'diff.tar');
    writeFileSync(
      diff,
      execFileSync('tar', ['--extract', '--to-stdout', '--file', archive, 'rootfs-diff.tar']),
    );
    const changed = names(diff);
    expect(changed).toEqual(expect.arrayContaining(['etc/', 'etc/new', 'odd name']));
    expect(changed.filter((name) => /^(?:proc|sys|etc\/hosts|bin\/yes)/u.test(name))).toEqual([]);
    expect(JSON.parse(content(archive, 'deleted.files'))).toContain('/bin/yes');
    const mounts = JSON.parse(content(archive, 'bind.mounts')) as {
      readonly destination: string;
      readonly file_type: string;
    }[];
    expect(mounts.every(({ file_type: type }) => ['file', 'directory'].includes(type))).toBe(true);
  });

  it('CheckpointContainer: an existing file at the archive’s path is neither followed nor replaced, and no directory is made', async () => {
    const target = join(archives, 'target');
    writeFileSync(target, 'kept');
    symlinkSync(target, join(archives, 'link.tar'));
    for (const name of ['link.tar', 'target'])
      expect((await refusalOf(checkpoint(join(archives, name)))).code).toBe(code.alreadyExists);
    symlinkSync(target, join(archives, 'other.tar.partial'));
    expect((await refusalOf(checkpoint(join(archives, 'other.tar')))).code).toBe(code.alreadyExists);
    expect(readFileSync(target, 'utf8')).toBe('kept');
    for (const location of [
      'relative.tar',
      '',
      `${archives}/`,
      join(archives, 'none/c.tar'),
      `${archives}/../c.tar`,
    ]) {
      expect((await refusalOf(checkpoint(location))).code, location).toBe(code.invalidArgument);
    }
    await runs();
  });

  it('CheckpointContainer: a failing runtime is quoted and leaves nothing; a hanging one is killed at the timeout', async () => {
    fake.does('fail');
    const refusal = await refusalOf(checkpoint(join(archives, 'c.tar')));
    expect(refusal.code).toBe(code.unknown);
    expect(refusal.details).toContain('criu failed: type DUMP errno 22');
    await runs();
    leftNothing();
    fake.does('hang');
    expect((await refusalOf(checkpoint(join(archives, 'c.tar'), 1n))).code).toBe(code.deadlineExceeded);
    await runs();
    leftNothing();
    noneDumps();
  });

  it('CheckpointContainer: a daemon killed meanwhile thaws the container and cleans up at its next start', async () => {
    fake.does('hang');
    const cut = refusalOf(checkpoint(join(archives, 'c.tar')));
    await fake.untilItHangs();
    await world.instance.kill();
    expect((await cut).code).not.toBe(0);
    expect(existsSync(join(archives, 'c.tar.partial'))).toBe(true);
    await world.instance.start();
    await runs();
    leftNothing();
    noneDumps();
  });

  it('CheckpointContainer: without a working CRIU Unimplemented says what is missing', async () => {
    const other = await hostOnlyWorld('cknn', { config: `[runtime]\ncriu = "${fake.criu}"` });
    try {
      const { sandboxId, containerId } = await makePod(other, 'none');
      await other.client.runtime.startContainer({ containerId });
      fake.breakCriu(true);
      const refusal = await refusalOf(
        other.client.runtime.checkpointContainer({ containerId, location: join(archives, 'c.tar') }),
      );
      expect(refusal.code).toBe(code.unimplemented);
      expect(refusal.details).toContain('criu check: exit code 1: vdso: not found');
      await removePod(other, sandboxId);
    } finally {
      fake.breakCriu(false);
      expect(await closeWorld(other)).toEqual([]);
    }
  });

  it('CheckpointPod: one archive for each container in an empty directory, all read before the first container runs on; or none', async () => {
    const config = containerConfig({
      name: 'second',
      image: await world.pull(),
      command: ['sleep', '3600'],
      hostNetwork: true,
    });
    const { containerId: second } = await world.client.runtime.createContainer({
      podSandboxId: made.sandboxId,
      config,
    });
    await world.client.runtime.startContainer({ containerId: second });
    const pod = (more: object): Promise<unknown> =>
      world.client.runtime.checkpointPod({
        podSandboxId: made.sandboxId,
        outputPath: archives,
        containerIds: [made.containerId, second],
        ...more,
      });
    fake.does('fail');
    expect((await refusalOf(pod({}))).code).toBe(code.unknown);
    leftNothing();
    fake.does('work');
    await pod({});
    expect(readdirSync(archives).toSorted()).toEqual(['main.tar', 'second.tar']);
    for (const name of ['main', 'second'])
      expect(content(join(archives, `${name}.tar`), 'checkpoint/inventory.img')).toContain(
        '"status": "paused"',
      );
    await runs();
    const empty = join(archives, 'empty');
    mkdirSync(empty);
    const wrong = [
      {},
      { outputPath: join(archives, 'none') },
      { outputPath: empty, containerIds: [] },
      { outputPath: empty, containerIds: [second, second] },
      { outputPath: empty, options: { fast: '1' } },
    ];
    for (const more of wrong)
      expect((await refusalOf(pod(more))).code, JSON.stringify(more)).toBe(code.invalidArgument);
    await world.client.runtime.removeContainer({ containerId: second });
  });

  it('StopContainer ends a checkpoint under way: its stop signal comes once the container runs again', async () => {
    const config = containerConfig({
      name: 'patient',
      image: await world.pull(),
      command: ['sh', '-c', 'trap "exit 7" TERM; touch /ready; while :; do sleep 0.1; done'],
      hostNetwork: true,
    });
    const { runtime } = world.client;
    const { containerId } = await runtime.createContainer({ podSandboxId: made.sandboxId, config });
    await runtime.startContainer({ containerId });
    const cmd = ['sh', '-c', 'while ! [ -e /ready ]; do :; done'];
    await runtime.execSync({ containerId, cmd, timeout: 60n });
    fake.does('hang');
    const cut = refusalOf(runtime.checkpointContainer({ containerId, location: join(archives, 'c.tar') }));
    await fake.untilItHangs();
    await runtime.stopContainer({ containerId, timeout: 600n });
    expect((await cut).code).not.toBe(0);
    const { status } = await runtime.containerStatus({ containerId });
    expect(status?.exitCode).toBe(7);
    await runtime.removeContainer({ containerId });
    leftNothing();
  });

  it('StopContainer aborts a checkpoint under way: the container gets its signal, and no archive is left', async () => {
    fake.does('hang');
    const cut = refusalOf(checkpoint(join(archives, 'c.tar')));
    await fake.untilItHangs();
    await world.client.runtime.stopContainer({ containerId: made.containerId, timeout: 0n });
    expect((await cut).code).not.toBe(0);
    leftNothing();
  });
});
