// In the guest after the cuts: each crash image in turn becomes the daemon's disk. What is found is a line for the
// host, which knows what had been answered.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, type SandboxConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import { until } from '../../support/eventually.ts';
import { check } from '../guest/node.ts';
import type { Checked, SeenImage } from './facts.ts';
import {
  configureNode,
  journal,
  mountData,
  serveImages,
  SOCKET,
  startDaemon,
  report,
  unmountData,
  word,
} from './guest-disk.ts';
import { LIST_FILES, type PowerImage, powerImages } from './images.ts';

const LOGS = '/var/log/pods';

const said = (error: unknown): string => String(error).slice(0, 1000);

interface Pod {
  readonly id: string;
  readonly config: SandboxConfig;
  readonly logDirectory: string;
}

async function runPod(client: CriClient, name: string): Promise<Pod> {
  const logDirectory = join(LOGS, name);
  await rm(logDirectory, { recursive: true, force: true });
  await mkdir(logDirectory, { recursive: true });
  const config = sandboxConfig({ name, logDirectory });
  return { id: (await client.runtime.runPodSandbox({ config })).podSandboxId, config, logDirectory };
}

/** Lines of a CRI log; a line that is marked P goes on in the next (a pipe is read by 8 KiB). */
const printed = (log: string): string[] =>
  log
    .split('\n')
    .map((line) => {
      const [, , tag, ...words] = line.split(' ');
      return words.join(' ') + (tag === 'P' ? '' : '\n');
    })
    .join('')
    .split('\n');

/** Runs a container of the image and compares its files; empty when all are the registry's. */
async function problemOf(client: CriClient, pod: Pod, image: PowerImage, attempt: number): Promise<string> {
  try {
    const name = image.name.replaceAll(/\W/gu, '-');
    const { containerId } = await client.runtime.createContainer({
      podSandboxId: pod.id,
      config: containerConfig({ name, image: image.name, command: LIST_FILES, attempt }),
      sandboxConfig: pod.config,
    });
    await client.runtime.startContainer({ containerId });
    const ended = await until(async () => {
      const { status } = await client.runtime.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
    const log = await readFile(join(pod.logDirectory, name, `${attempt}.log`), 'utf8');
    const lines = printed(log);
    const sums = lines.filter((line) => /^[0-9a-f]{64} {2}/u.test(line)).sort();
    const wrong = image.sums.filter((sum) => !sums.includes(sum));
    if (
      ended.exitCode === 0 &&
      lines.includes('whole') &&
      wrong.length === 0 &&
      sums.length === image.sums.length
    )
      return '';
    return `ended with ${ended.exitCode}, ${wrong.length} of ${image.sums.length} files differ: ${wrong[0] ?? ''} ${log.slice(-300)}`;
  } catch (error) {
    return said(error);
  }
}

async function listed(client: CriClient): Promise<Pick<Checked, 'pods' | 'containers'>> {
  const [pods, containers] = await Promise.all([
    client.runtime.listPodSandbox({}),
    client.runtime.listContainers({}),
  ]);
  return {
    pods: pods.items.map(({ id, metadata }) => ({ id, name: metadata?.name ?? '' })),
    containers: await Promise.all(
      containers.containers.map(async ({ id, metadata, podSandboxId, state }) => {
        const { status } = await client.runtime.containerStatus({ containerId: id });
        return {
          id,
          name: metadata?.name ?? '',
          pod: podSandboxId,
          state: state === ContainerState.CONTAINER_EXITED ? ('exited' as const) : ('other' as const),
          exitCode: status?.exitCode ?? -1,
        };
      }),
    ),
  };
}

/** Adds what `troupe check` finds. */
async function addFindings(when: string, problems: string[]): Promise<void> {
  const found = await check();
  if (found.code !== 0) problems.push(`troupe check ${when}: ${found.stdout}${found.stderr}`);
}

/** All that needs a daemon. */
async function observe(images: readonly PowerImage[], into: { seen: Partial<Checked> }): Promise<void> {
  const client = criClient(SOCKET);
  const problems: string[] = [];
  into.seen = { ...into.seen, problems };
  try {
    await addFindings('after the start', problems);
    const found = await client.image.listImages({});
    const names = new Set(found.images.flatMap(({ repoTags }) => repoTags));
    into.seen = { ...into.seen, ...(await listed(client)) };
    const pod = await runPod(client, 'after-the-cut');
    const seenOf = async (some: readonly PowerImage[], attempt: number): Promise<SeenImage[]> => {
      const all: SeenImage[] = [];
      for (const image of some)
        all.push({ name: image.name, problem: await problemOf(client, pod, image, attempt) });
      return all;
    };
    const present = images.filter(({ name }) => names.has(name));
    into.seen = { ...into.seen, images: await seenOf(present, 0) };
    const missing = images.filter(({ name }) => !names.has(name));
    for (const { name } of missing) await client.image.pullImage({ image: { image: name } });
    into.seen = { ...into.seen, pulled: await seenOf(missing, 1) };
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) {
      await client.runtime.stopPodSandbox({ podSandboxId: id });
      await client.runtime.removePodSandbox({ podSandboxId: id });
    }
    await addFindings('after all pods were removed', problems);
  } catch (error) {
    problems.push(`${said(error)}\n${await journal()}`);
  } finally {
    client.close();
  }
}

async function checkImage(image: number, images: readonly PowerImage[]): Promise<Checked> {
  const nothing: Checked = {
    image,
    readyMs: 0,
    pods: [],
    containers: [],
    images: [],
    pulled: [],
    problems: [],
  };
  const unmountable = await mountData(`image-${image}`);
  if (unmountable !== undefined) return { ...nothing, unmountable };
  try {
    const { ms, why } = await startDaemon();
    if (why !== undefined) return { ...nothing, start: why };
    const into: { seen: Partial<Checked> } = { seen: {} };
    await observe(images, into);
    return { ...nothing, ...into.seen, readyMs: ms };
  } finally {
    await unmountData();
  }
}

await configureNode();
const images = powerImages();
const registry = await serveImages(images);
for (let image = 0; image < Number(word('images')); image += 1)
  report({ is: 'checked', ...(await checkImage(image, images)) });
await registry.stop();
