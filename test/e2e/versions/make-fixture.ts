// Root and state of this version, as its daemon leaves them when it is killed under churn.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { storedVersions } from '../../../src/base/stored-versions.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { runOrThrow } from '../../support/run.ts';
import { until } from '../../support/eventually.ts';
import { checkout } from '../../support/tools/cache.ts';
import type { World } from '../support/world.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { SMALL } from '../kills/small-image.ts';
import { ARCHIVE, type FixtureManifest, MANIFEST } from './manifest.ts';
import { makePlacedWorld, placed, PROGRAMS, SECOND } from './place.ts';

/** Larger ones would weigh on every clone. */
const BYTES_MAX = 256 * 1024;
/** Pods that come and go while the daemon is killed. */
const CHURNING = 3;
/** Lives of those pods, all together, before the kill. */
const LIVES = 6;
const EXIT_CODE = 7;
/** Of a container whose resources were changed. */
const UPDATED_SHARES = 512n;

export interface FixtureOrigin {
  readonly version: string;
  readonly commit: string;
}

/** Makes the fixture in `directory`, in place of what is there. */
export async function makeFixture(directory: string, origin: FixtureOrigin): Promise<void> {
  const world = await makePlacedWorld('fix');
  try {
    for (const name of [SMALL, SECOND])
      await world.client.image.pullImage({ image: { image: `${world.registry}/${name}` } });
    await makeStoppedPod(world);
    // The second instance goes on with the first one's journal, as on a node. It has a mount namespace of its own, in
    // which containers of the first one would have lost their mounts.
    await world.instance.kill();
    await world.instance.start();
    await makePods(world);
    const manifest = { ...origin, stored: storedVersions, ...(await listed(world)) };
    await killedUnderChurn(world);
    await pack(world, directory, manifest);
  } finally {
    await world.close();
  }
}

const image = (world: World): string => `${world.registry}/${SMALL}`;

async function runPod({ client: { runtime } }: World, name: string): Promise<string> {
  const config = sandboxConfig({ name, logDirectory: placed('logs', name) });
  return (await runtime.runPodSandbox({ config })).podSandboxId;
}

async function makeStoppedPod(world: World): Promise<void> {
  const podSandboxId = await runPod(world, 'stays-stopped');
  await create(world, { name: 'stays-stopped', podSandboxId, command: untilTermed(0) });
  await world.client.runtime.stopPodSandbox({ podSandboxId });
}

/** One pod in each other state that a node has for long, and one with an update on record. */
async function makePods(world: World): Promise<void> {
  const { runtime } = world.client;
  await runPod(world, 'stays-empty');
  for (const [name, command, isStarted] of [
    ['stays-running', untilTermed(0), true],
    ['stays-created', untilTermed(0), false],
    ['stays-updated', untilTermed(0), true],
    ['stays-exited', ['sh', '-c', `exit ${EXIT_CODE}`], true],
  ] as const) {
    const containerId = await create(world, { name, podSandboxId: await runPod(world, name), command });
    if (isStarted) await runtime.startContainer({ containerId });
    if (name === 'stays-updated')
      await runtime.updateContainerResources({ containerId, linux: { cpuShares: UPDATED_SHARES } });
    if (name !== 'stays-exited') continue;
    await until(async () => {
      const { status } = await runtime.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED;
    });
  }
}

interface PodContainer {
  readonly name: string;
  readonly podSandboxId: string;
  readonly command: readonly string[];
}

async function create(world: World, { name, podSandboxId, command }: PodContainer): Promise<string> {
  const { containerId } = await world.client.runtime.createContainer({
    podSandboxId,
    config: containerConfig({ name, image: image(world), command }),
    sandboxConfig: sandboxConfig({ name, logDirectory: placed('logs', name) }),
  });
  return containerId;
}

async function listed({
  client: { runtime, image: images },
}: World): Promise<Pick<FixtureManifest, 'pods' | 'containers' | 'images'>> {
  const [pods, containers, present] = [
    await runtime.listPodSandbox({}),
    await runtime.listContainers({}),
    await images.listImages({}),
  ];
  return {
    pods: pods.items.map(({ id, metadata, state }) => ({ id, name: metadata?.name ?? '', state })),
    containers: await Promise.all(
      containers.containers.map(async ({ id, metadata, state }) => {
        const { status } = await runtime.containerStatus({ containerId: id });
        const cpuShares = Number(status?.resources?.linux?.cpuShares ?? 0);
        return { id, name: metadata?.name ?? '', state, exitCode: status?.exitCode ?? 0, cpuShares };
      }),
    ),
    images: present.images.map(({ id, repoTags }) => ({ id, repoTags })),
  };
}

/** Kills the daemon while pods are being made and removed; their calls fail with it. */
async function killedUnderChurn(world: World): Promise<void> {
  let lives = 0;
  let isOver = false;
  const worker = async (number: number): Promise<void> => {
    while (!isOver) {
      await life(world, `churn-${number}-${lives}`).catch(() => undefined);
      lives += 1;
    }
  };
  const workers = Array.from({ length: CHURNING }, (_none, number) => worker(number));
  await until(() => lives >= LIVES);
  isOver = true;
  await world.instance.kill();
  // a call that begins now waits for a daemon until the client is closed
  void Promise.all(workers);
}

async function life(world: World, name: string): Promise<void> {
  const { runtime } = world.client;
  const podSandboxId = await runPod(world, name);
  const containerId = await create(world, { name, podSandboxId, command: untilTermed(0) });
  await runtime.startContainer({ containerId });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
}

/**
 * What is mounted is in the daemon's mount namespace only, so that the archive has the directories below. tar leaves
 * out sockets. The images' programs are left out: they are of one processor, large, and not ours to hand on.
 */
async function pack(world: World, directory: string, manifest: FixtureManifest): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const archive = join(directory, ARCHIVE);
  const from = world.instance.directory;
  // names the program that this machine ran
  const helpers = join(from, 'state/helpers.json');
  writeFileSync(helpers, readFileSync(helpers, 'utf8').replaceAll(checkout, '/opt/troupe'));
  const names = ['leases', 'root', 'state'].filter((name) => readdirSync(from).includes(name));
  await runOrThrow([
    'tar',
    '--create',
    '--gzip',
    `--file=${archive}`,
    '--sort=name',
    '--numeric-owner',
    '--xattrs',
    `--exclude=${PROGRAMS}/*`,
    '--warning=no-file-ignored',
    `--directory=${from}`,
    ...names,
  ]);
  const bytes = statSync(archive).size;
  if (bytes > BYTES_MAX) throw new Error(`${archive} has ${bytes} bytes, more than ${BYTES_MAX}`);
  writeFileSync(join(directory, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
}
