// F93: root and state of each released version, as its daemon left them when it was killed under churn, are used by
// this one; and one of a newer version is refused before anything is written.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { madeAnew, storedVersions } from '../../../src/base/stored-versions.ts';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { crc32c } from '../../../src/journal/crc32c.ts';
import { numbersIn } from '../../../src/journal/file-names.ts';
import { FORMAT, frame } from '../../../src/journal/format.ts';
import { releases } from '../../../scripts/support/releases.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { injects } from '../../support/faults/injects.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { World } from '../support/world.ts';
import { fixtures, type Fixture } from './manifest.ts';
import { addPrograms, inWorld, makePlacedWorld, placed } from './place.ts';
import { digestOfTree } from './tree.ts';

const olderRoot = injects('F93', 'root and state of a released version, killed under churn');
const newerRoot = injects('F93', 'a root that a newer version has written');

const unpack = ({ archive }: Fixture, directory: string): void => {
  execFileSync('tar', [
    '--extract',
    '--gzip',
    `--file=${archive}`,
    '--xattrs',
    '--same-owner',
    '-C',
    directory,
  ]);
};

describe('fixtures of released versions', () => {
  it('there is one for each release', () => {
    const versions = fixtures().map(({ manifest }) => manifest.version);
    expect(versions).not.toEqual([]);
    expect(releases().filter(({ version }) => !versions.includes(version))).toEqual([]);
  });

  it.each(fixtures().map(({ manifest }) => [manifest.version, manifest.stored] as const))(
    'F93 what %s stores has the versions of today, unless the journal has a newer one: an older program reads that first',
    (_version, stored) => {
      if (stored['journal'] !== storedVersions.journal) return;
      const kept = Object.entries(storedVersions).filter(
        ([kind]) => kind in stored && !madeAnew.has(kind as keyof typeof storedVersions),
      );
      for (const [kind, version] of kept) expect([kind, version]).toEqual([kind, stored[kind]]);
    },
  );
});

describePods.each(
  fixtures().flatMap((fixture) =>
    [true, false].map(
      (hasState) => [fixture.manifest.version, hasState ? 'the same boot' : 'another boot', fixture] as const,
    ),
  ),
)('F93 root and state of %s, %s', (_version, boot, fixture) => {
  const { pods, containers, images } = fixture.manifest;
  let world: World;

  beforeAll(async () => {
    world = await makePlacedWorld('vers', (directory) => {
      unpack(fixture, directory);
      addPrograms(join(directory, 'root'));
      // a tmpfs, on nodes
      if (boot === 'another boot') rmSync(join(directory, 'state'), { recursive: true });
    });
    olderRoot.happened();
  });
  afterAll(async () => await world.close());

  it('no pod, container or image is forgotten, and each has ended as by a reboot', async () => {
    const { runtime, image } = world.client;
    const { items } = await runtime.listPodSandbox({});
    const listed = new Map(items.map(({ id, state }) => [id, state]));
    for (const { id, name } of pods)
      expect([name, listed.get(id)]).toEqual([name, PodSandboxState.SANDBOX_NOTREADY]);
    for (const { id, name, state, exitCode, cpuShares } of containers) {
      const { status } = await runtime.containerStatus({ containerId: id });
      const wasOver = state === ContainerState.CONTAINER_EXITED;
      expect([name, status?.state, status?.exitCode]).toEqual([
        name,
        ContainerState.CONTAINER_EXITED,
        wasOver ? exitCode : 255,
      ]);
      expect([name, status?.resources?.linux?.cpuShares]).toEqual([name, BigInt(cpuShares)]);
    }
    const present = (await image.listImages({})).images.map(({ id, repoTags }) => ({ id, repoTags }));
    expect(present).toEqual(expect.arrayContaining([...images]));
  });

  it('its images run, and all of its pods are removed', async () => {
    const { runtime } = world.client;
    const logDirectory = placed('logs/new');
    const config = sandboxConfig({ name: 'new', logDirectory });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    for (const [attempt, { id }] of images.entries()) {
      const request = { name: 'new', attempt, image: id, command: untilTermed(0) };
      const made = await runtime.createContainer({
        podSandboxId,
        config: containerConfig(request),
        sandboxConfig: config,
      });
      await runtime.startContainer({ containerId: made.containerId });
    }
    for (const { id } of (await runtime.listPodSandbox({})).items) {
      await runtime.stopPodSandbox({ podSandboxId: id });
      await runtime.removePodSandbox({ podSandboxId: id });
    }
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
    expect((await runtime.listContainers({})).containers).toEqual([]);
    const { code, stdout, stderr } = await inWorld(world, 'check');
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining('clean')]);
    expect(await world.leftovers()).toEqual([]);
  });
});

describePods('F93 a root of a newer version', () => {
  const [fixture] = fixtures().slice(-1);

  /** A copy of the fixture whose newest journal was changed. */
  function rootWith(change: (journal: Buffer) => Buffer): string {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-newer-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    if (fixture !== undefined) unpack(fixture, directory);
    const journals = join(directory, 'root/journal');
    const [newest = 0] = numbersIn(readdirSync(journals));
    const path = join(journals, `journal.${newest}`);
    writeFileSync(path, change(readFileSync(path)));
    // a configuration of its own: the machine's may name other directories
    writeFileSync(join(directory, 'troupe.toml'), '');
    return directory;
  }

  const troupe = (command: string, directory: string): ReturnType<typeof run> =>
    run([
      join(checkout, 'bin/troupe'),
      command,
      ...[
        ['config', 'troupe.toml'],
        ['root', 'root'],
        ['state', 'state'],
        ['socket', 'cri.sock'],
      ].flatMap(([option = '', name = '']) => [`--${option}`, join(directory, name)]),
    ]);

  function newerFormat(journal: Buffer): Buffer {
    const bytes = Buffer.from(journal);
    bytes.writeUInt32LE(FORMAT + 1, 8);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 12)), 12);
    return bytes;
  }
  const newerRecord = (journal: Buffer): Buffer =>
    Buffer.concat([journal, frame({ type: 'pod.moved', id: 'newer' } as never)]);

  it.each([
    ['format', newerFormat, `written in format ${FORMAT + 1} by a newer troupe`],
    ['record', newerRecord, 'record type "pod.moved" of a newer troupe'],
  ] as const)(
    'by its %s is refused with what to do, and not a byte below root and state is changed',
    async (_by, change, message) => {
      const directory = rootWith(change);
      const before = digestOfTree(directory);
      newerRoot.happened();
      const served = await troupe('serve', directory);
      expect([served.code, served.stderr]).toEqual([1, expect.stringContaining(message)]);
      expect(served.stderr).toContain('docs/upgrade.md');
      expect(digestOfTree(directory)).toEqual(before);
      for (const [command, code] of [
        ['status', 4],
        ['check', 1],
      ] as const) {
        const said = await troupe(command, directory);
        expect([command, said.code, said.stderr]).toEqual([command, code, expect.stringContaining(message)]);
      }
      expect(digestOfTree(directory)).toEqual(before);
      // after a reboot
      cpSync(directory, `${directory}.rebooted`, { recursive: true, preserveTimestamps: true });
      onTestFinished(() => rmSync(`${directory}.rebooted`, { recursive: true, force: true }));
      rmSync(join(`${directory}.rebooted`, 'state'), { recursive: true });
      const rebooted = digestOfTree(`${directory}.rebooted`);
      expect((await troupe('serve', `${directory}.rebooted`)).code).toBe(1);
      expect(digestOfTree(`${directory}.rebooted`)).toEqual(rebooted);
    },
  );
});
