// In the guest whose power is cut: pods, containers, pulls and removals without an end. Every request and every answer
// is a line for the host.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, type SandboxConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import { type Random, randomStream } from '../../sim/random.ts';
import { until } from '../../support/eventually.ts';
import type { Fact } from './facts.ts';
import { configureNode, mountData, serveImages, SOCKET, startDaemon, report, word } from './guest-disk.ts';
import { BASE, IMAGES, nameOf, powerImages } from './images.ts';

const LOGS = '/var/log/pods';
/** Pods that one loop leaves standing before it removes the oldest. */
const KEPT_PODS = 4;

/** A request without its answer. */
type Asked = Fact extends infer F
  ? F extends { readonly is: 'ask' | 'done' | 'failed' }
    ? Omit<F, 'is'>
    : never
  : never;

/** Makes a call between two lines; answers undefined when it failed, which is a line, too. */
async function called<T>(
  asked: Asked,
  make: () => Promise<T>,
  more: (answer: T) => object = () => ({}),
): Promise<T | undefined> {
  report({ ...asked, is: 'ask' } as Fact);
  try {
    const answer = await make();
    report({ ...asked, is: 'done', ...more(answer) } as Fact);
    return answer;
  } catch (error) {
    console.log(`${asked.call}: ${String(error).slice(0, 500)}`);
    report({ ...asked, is: 'failed' } as Fact);
    return undefined;
  }
}

interface Stage {
  readonly client: CriClient;
  readonly base: string;
  readonly random: Random;
}

async function container(
  stage: Stage,
  name: string,
  pod: string,
  config: SandboxConfig,
  hostNetwork: boolean,
): Promise<string | undefined> {
  const { client, random } = stage;
  const code = random.int(100);
  const isShort = random.chance(0.6);
  const command = isShort ? ['sh', '-c', `echo x >/written; exit ${code}`] : ['sleep', '100000'];
  const made = await called(
    { call: 'container', name, pod },
    async () =>
      await client.runtime.createContainer({
        podSandboxId: pod,
        config: containerConfig({ name, image: stage.base, command, hostNetwork }),
        sandboxConfig: config,
      }),
    ({ containerId }) => ({ id: containerId }),
  );
  if (made === undefined) return undefined;
  const { containerId } = made;
  await client.runtime.startContainer({ containerId }).catch(() => undefined);
  if (isShort) {
    const ended = await until(async () => {
      const { status } = await client.runtime.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
    report({ is: 'done', call: 'exited', id: containerId, code: ended.exitCode });
  }
  if (random.chance(0.3))
    await called({ call: 'removeContainer', id: containerId }, async () => {
      await client.runtime.stopContainer({ containerId, timeout: 0n });
      await client.runtime.removeContainer({ containerId });
    });
  return containerId;
}

async function podLoop(stage: Stage, letter: string, hostNetwork: boolean): Promise<never> {
  const { client, random } = stage;
  const kept: string[] = [];
  for (let turn = 0; ; turn += 1) {
    const name = `${letter}${turn}`;
    const config = sandboxConfig({ name, logDirectory: join(LOGS, name), hostNetwork });
    const pod = await called(
      { call: 'pod', name },
      async () => await client.runtime.runPodSandbox({ config }),
      ({ podSandboxId }) => ({ id: podSandboxId }),
    );
    if (pod !== undefined) {
      kept.push(pod.podSandboxId);
      for (let index = 0; index < 1 + random.int(2); index += 1)
        await container(stage, `${name}-${index}`, pod.podSandboxId, config, hostNetwork);
    }
    while (kept.length > KEPT_PODS || (kept.length > 0 && random.chance(0.4))) {
      const podSandboxId = kept.splice(random.int(kept.length), 1)[0] ?? '';
      await called({ call: 'removePod', id: podSandboxId }, async () => {
        await client.runtime.stopPodSandbox({ podSandboxId });
        await client.runtime.removePodSandbox({ podSandboxId });
      });
    }
  }
}

const pull = async (client: CriClient, name: string): Promise<string | undefined> =>
  (await called({ call: 'pull', name }, async () => await client.image.pullImage({ image: { image: name } })))
    ?.imageRef;

async function imageLoop({ client, random }: Stage, names: readonly string[]): Promise<never> {
  const there = new Set<string>();
  for (;;) {
    const name = random.pick(names);
    if (there.has(name) && random.chance(0.8)) {
      const removed = async (): Promise<void> => {
        await client.image.removeImage({ image: { image: name } });
        there.delete(name);
      };
      await called({ call: 'removeImage', name }, removed);
    } else if ((await pull(client, name)) !== undefined) there.add(name);
  }
}

async function main(): Promise<void> {
  await mkdir(LOGS, { recursive: true });
  const unmountable = await mountData('data');
  if (unmountable !== undefined) throw new Error(`mount the data disk: ${unmountable}`);
  await configureNode();
  await serveImages(powerImages());
  const { why } = await startDaemon();
  if (why !== undefined) throw new Error(`start troupe: ${why}`);
  const client = criClient(SOCKET);
  const base = await pull(client, BASE);
  if (base === undefined) throw new Error('the base image could not be pulled');
  report({ is: 'ready' });
  const seed = Number(word('seed'));
  const stage = (purpose: string): Stage => ({ client, base, random: randomStream(seed, purpose) });
  const names = Array.from({ length: IMAGES }, (_, index) => nameOf(index));
  await Promise.all([
    podLoop(stage('pods a'), 'a', false),
    podLoop(stage('pods b'), 'b', true),
    imageLoop(
      stage('images even'),
      names.filter((_, index) => index % 2 === 0),
    ),
    imageLoop(
      stage('images odd'),
      names.filter((_, index) => index % 2 === 1),
    ),
  ]);
}

await main();
