// The pods that stay for the whole run: their containers must live through every kill of the daemon.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { eachSecond, fileExists, type Part, podManifest, shell, UNTIL_TERM } from './manifests.ts';
import type { Pod } from './shapes.ts';
import { containerOf, type Remains, same, type Stage } from './stage.ts';

/** Writes numbered lines, long enough that the kubelet rotates the log (64 KiB) every half minute. */
const COUNTER = `trap "exit 0" TERM; pad=$(printf "%0200d" 0); i=0; while :; do i=$((i+1)); echo "$i $pad"; sleep 0.1; done`;

const pods: readonly { readonly name: string; readonly initContainers?: readonly Part[]; readonly container: Part }[] = [
  // One failed probe would restart them.
  { name: 'counter', container: { ...shell(COUNTER), livenessProbe: eachSecond(fileExists('/etc/hosts')) } },
  {
    name: 'web',
    container: { ...shell('mkdir /tmp/www; echo page > /tmp/www/page; exec httpd -f -p 8080 -h /tmp/www'), livenessProbe: eachSecond({ initialDelaySeconds: 5, httpGet: { path: '/page', port: 8080 } }) },
  },
  { name: 'pair', initContainers: [{ name: 'side', restartPolicy: 'Always', ...shell(UNTIL_TERM) }], container: { ...shell(UNTIL_TERM), lifecycle: { preStop: { exec: { command: ['true'] } } } } },
];

export const steadyNames: readonly string[] = pods.map((pod) => pod.name);

export async function startSteady(stage: Stage): Promise<void> {
  for (const { name, initContainers, container } of pods) {
    await stage.apply(podManifest(name, stage.world.imageName, { containers: [container], ...(initContainers === undefined ? {} : { initContainers }) }));
  }
  for (const name of steadyNames) await stage.untilReady(name);
}

/** What must not change by a death of the daemon: containers, their starts, restarts, and the runtime's attempts. */
export async function lifeOf(stage: Stage): Promise<string[]> {
  const lines: string[] = [];
  for (const name of steadyNames) {
    const pod = (await stage.pod(name)) as Pod;
    for (const status of [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])]) {
      const [latest] = await stage.criContainers(name, status.name);
      const { state, startedAt } = await stage.criStatus(latest?.id ?? '');
      lines.push(`${name}/${status.name}: ${status.containerID ?? 'no id'}, ${status.restartCount} restarts, running since ${status.state.running?.startedAt ?? 'never'}; CRI: attempt ${latest?.metadata?.attempt}, state ${state}, started at ${startedAt}`);
    }
  }
  return lines;
}

/** The numbers of the counter's lines in all its log files, oldest first. */
async function countedLines(stage: Stage): Promise<{ readonly numbers: number[]; readonly files: number }> {
  const base = stage.world.logs;
  const pod = (await readdir(base)).find((directory) => directory.startsWith('default_counter-'));
  if (pod === undefined) throw new Error(`no log directory of the pod counter in ${base}`);
  const directory = join(base, pod, 'main');
  // 0.log, 0.log.<time>, 0.log.<time>.gz: by time, the one being written last
  const names = (await readdir(directory)).filter((name) => name.startsWith('0.log')).toSorted((a, b) => (a === '0.log' ? 1 : b === '0.log' ? -1 : a.localeCompare(b)));
  const numbers: number[] = [];
  for (const name of names) {
    const bytes = await readFile(join(directory, name));
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    for (const match of text.matchAll(/^\S+ stdout F (\d+) 0{200}$/gm)) numbers.push(Number(match[1]));
  }
  return { numbers, files: names.length };
}

/** Each line once and in order, over rotations; answers how many there are, and in how many files. */
export async function checkCounter(stage: Stage): Promise<string> {
  // A rotation under way shows a file under two names or none; the kubelet's next look is seconds away.
  const { numbers, files } = await stage.until('each line of the counter once and in order', async () => {
    const found = await countedLines(stage);
    const wrong = found.numbers.findIndex((number, index) => number !== index + 1);
    if (wrong !== -1) throw new Error(`line ${found.numbers[wrong]} stands where ${wrong + 1} should be, of ${found.numbers.length} in ${found.files} files`);
    return found.numbers.length > 0 ? found : undefined;
  });
  const restarts = containerOf((await stage.pod('counter')) as Pod)?.restartCount;
  same('restarts of the counter', restarts, 0);
  return `${numbers.length} lines, none lost or doubled, in ${files} files of the kubelet's rotation`;
}

/** Removes all pods, also those of scenarios that failed. */
export async function endAll(stage: Stage): Promise<Remains[]> {
  return await Promise.all((await stage.kubelet.applied()).map(async (name) => await stage.withdraw(name)));
}
