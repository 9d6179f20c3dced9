// `npm run demo`: one pod's whole life on an instance of its own, with the transitions of its actors as they happen.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { staticBusybox } from '../test/support/tools/debian.ts';
import { criClient } from './support/cri-client.ts';
import { busyboxImage } from './support/busybox-image.ts';
import { startTinyRegistry } from './support/tiny-registry.ts';
import { NamespaceMode } from '../src/gen/runtime/v1/api_pb.ts';
import { differencesWhenSettled, snapshotMachine } from '../test/support/baseline.ts';
import { type Instance, makeInstance } from '../test/support/instance.ts';
import { type Following, followTransitions } from './support/transitions.ts';

process.exitCode = await demo();

async function demo(): Promise<number> {
  if (process.getuid?.() !== 0) {
    console.error('The demo makes namespaces, mounts and cgroups: run it with sudo.');
    return 1;
  }
  const registry = await startTinyRegistry(new Map([['demo/busybox:1', busyboxImage(staticBusybox())]]));
  const instance = await makeInstance({
    name: 'demo',
    registriesConf: `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
  });
  // Only what is this instance's: others may start and end pods meanwhile.
  const before = await snapshotMachine(instance.words);
  let left: string[] = [];
  try {
    await instance.start();
    say(`an instance of its own serves the CRI at ${instance.endpoint}`);
    const follow = followTransitions(instance.log, (line) => console.log(`      ${line}`));
    await life(instance, `${registry.address}/demo/busybox:1`, follow);
    await follow.stop();
    await instance.terminate();
    // Read before the instance's own things are removed: what exists now, the daemon has left behind.
    left = await differencesWhenSettled(before, instance.words, isExpected);
  } finally {
    await instance.terminate().catch(() => undefined);
    await registry.stop();
    await instance.remove();
  }
  left.push(...(await differencesWhenSettled(before, instance.words, isExpected)));
  for (const line of left) console.log(`left on the machine: ${line}`);
  say(
    left.length === 0
      ? 'the machine is as it was: mounts, namespaces, cgroups, processes, links'
      : 'the machine is NOT as it was',
  );
  return left.length === 0 ? 0 : 1;
}

/**
 * The bridge belongs to the demo's CNI configuration: no plugin takes it away, so the demo does. And a zombie is a
 * process of the ended daemon that the machine's first process has not reaped yet.
 */
function isExpected(line: string): boolean {
  return /^\+ links: trdemo\d+$/.test(line) || /^\+ processes: \S+ \(zombie\)/.test(line);
}

/** pull → pod → container → logs → exec → stop → remove, each through the socket. */
async function life({ socket, directory }: Instance, image: string, follow: Following): Promise<void> {
  const { runtime, image: images, close } = criClient(socket);
  const step = <T>(name: string, work: () => Promise<T>): Promise<T> => timed(name, work, follow);
  const logs = join(directory, 'logs');
  await mkdir(logs);
  const pulled = await step('PullImage', () => images.pullImage({ image: { image } }));
  const sandboxConfig = {
    metadata: { name: 'demo', namespace: 'default', uid: 'demo-uid', attempt: 0 },
    hostname: 'demo',
    logDirectory: logs,
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
  };
  const { podSandboxId } = await step('RunPodSandbox', () =>
    runtime.runPodSandbox({ config: sandboxConfig }),
  );
  const status = await runtime.podSandboxStatus({ podSandboxId });
  console.log(`    address ${status.status?.network?.ip ?? '?'}`);
  const { containerId } = await step('CreateContainer', () =>
    runtime.createContainer({
      podSandboxId,
      sandboxConfig,
      config: {
        metadata: { name: 'hello', attempt: 0 },
        image: { image: pulled.imageRef },
        command: [
          'sh',
          '-c',
          'echo "hello from $(hostname)"; trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done',
        ],
        logPath: 'hello.log',
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
      },
    }),
  );
  await step('StartContainer', () => runtime.startContainer({ containerId }));
  const answer = await step('ExecSync', () =>
    runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'echo "exec sees pid 1: $(cat /proc/1/comm)"'],
      timeout: 10n,
    }),
  );
  console.log(`    ${Buffer.from(answer.stdout).toString().trim()}`);
  await step('StopContainer', () => runtime.stopContainer({ containerId, timeout: 10n }));
  const ended = await runtime.containerStatus({ containerId });
  console.log(`    exit code ${ended.status?.exitCode ?? '?'}, reason ${ended.status?.reason ?? '?'}`);
  for (const line of (await readFile(join(logs, 'hello.log'), 'utf8')).trim().split('\n'))
    console.log(`    log  ${line}`);
  await step('RemoveContainer', () => runtime.removeContainer({ containerId }));
  await step('StopPodSandbox', () => runtime.stopPodSandbox({ podSandboxId }));
  await step('RemovePodSandbox', () => runtime.removePodSandbox({ podSandboxId }));
  await step('RemoveImage', () => images.removeImage({ image: { image: pulled.imageRef } }));
  close();
}

async function timed<T>(name: string, work: () => Promise<T>, follow: Following): Promise<T> {
  say(name);
  const started = performance.now();
  const result = await work();
  const ms = performance.now() - started;
  await follow.catchUp();
  console.log(`    ${name} answered after ${ms.toFixed(1)} ms`);
  return result;
}

function say(text: string): void {
  console.log(`\n==> ${text}`);
}
