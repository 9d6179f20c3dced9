// The pods that stay for the whole run: their containers must live through every kill of the daemon.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { eachSecond, fileExists, type Part, podManifest, shell, UNTIL_TERM } from './manifests.ts';
import type { Pod } from './shapes.ts';
import type { Remains, Stage } from './stage.ts';

/** Writes numbered lines, long enough that the kubelet rotates the log (64 KiB) every half minute. */
const COUNTER = `trap "exit 0" TERM; pad=$(printf "%0200d" 0); i=0; while :; do i=$((i+1)); echo "$i $pad"; sleep 0.1; done`;

const pods: readonly {
  readonly name: string;
  readonly initContainers?: readonly Part[];
  readonly container: Part;
}[] = [
  // One failed probe would restart them.
  { name: 'counter', container: { ...shell(COUNTER), livenessProbe: eachSecond(fileExists('/etc/hosts')) } },
  {
    name: 'web',
    container: {
      ...shell('mkdir /tmp/www; echo page > /tmp/www/page; exec httpd -f -p 8080 -h /tmp/www'),
      livenessProbe: eachSecond({ initialDelaySeconds: 5, httpGet: { path: '/page', port: 8080 } }),
    },
  },
  {
    name: 'pair',
    initContainers: [{ name: 'side', restartPolicy: 'Always', ...shell(UNTIL_TERM) }],
    container: { ...shell(UNTIL_TERM), lifecycle: { preStop: { exec: { command: ['true'] } } } },
  },
];

export const steadyNames: readonly string[] = pods.map((pod) => pod.name);

export async function startSteady(stage: Stage): Promise<void> {
  for (const { name, initContainers, container } of pods) {
    await stage.apply(
      podManifest(name, stage.world.imageName, {
        containers: [container],
        ...(initContainers === undefined ? {} : { initContainers }),
      }),
    );
  }
  for (const name of steadyNames) await stage.untilReady(name);
}

/** What must not change by a death of the daemon: containers, their starts, restarts, and the runtime's attempts. */
export async function lifeOf(stage: Stage): Promise<string[]> {
  const lines: string[] = [];
  for (const name of steadyNames) {
    const pod = (await stage.pod(name)) as Pod;
    for (const status of [
      ...(pod.status.containerStatuses ?? []),
      ...(pod.status.initContainerStatuses ?? []),
    ]) {
      const [latest] = await stage.criContainers(name, status.name);
      const { state, startedAt } = await stage.criStatus(latest?.id ?? '');
      lines.push(
        `${name}/${status.name}: ${status.containerID ?? 'no id'}, ${status.restartCount} restarts, running since ${status.state.running?.startedAt ?? 'never'}; CRI: attempt ${latest?.metadata?.attempt}, state ${state}, started at ${startedAt}`,
      );
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
  const names = (await readdir(directory))
    .filter((name) => name.startsWith('0.log'))
    .toSorted((a, b) => (a === '0.log' ? 1 : b === '0.log' ? -1 : a.localeCompare(b)));
  const numbers: number[] = [];
  for (const name of names) {
    const bytes = await readFile(join(directory, name));
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    for (const match of text.matchAll(/^\S+ stdout F (\d+) 0{200}$/gm)) numbers.push(Number(match[1]));
  }
  return { numbers, files: names.length };
}

/** A call that the kubelet could not make, or not hear the end of: grpc-go's words. */
const CONNECTION_LOST = /error reading from server|connection error|connection reset|EOF/u;

/** Lines missing between two neighbours, one number per place; throws when a line comes twice or out of order. */
function gapsOf(numbers: readonly number[]): number[] {
  const gaps: number[] = [];
  for (const [index, number] of numbers.entries()) {
    const wanted = (numbers[index - 1] ?? 0) + 1;
    if (number < wanted) throw new Error(`line ${number} stands after line ${wanted - 1}`);
    if (number > wanted) gaps.push(number - wanted);
  }
  return gaps;
}

/**
 * Each line once and in order, over all rotations. The kubelet renames the log, asks for a new one, and renames the old
 * one back over whatever is there when it hears no answer: a kill between the reopening and the answer costs the lines
 * until its next try, whatever the runtime does. So many places may miss lines as it has reported of such failures, and
 * no more.
 */
export async function checkCounter(stage: Stage): Promise<string> {
  // A rotation under way shows a file under two names or none; the kubelet's next poll is seconds away.
  const found = await stage.until('each line of the counter once and in order', async () => {
    const { numbers, files } = await countedLines(stage);
    const gaps = gapsOf(numbers);
    const failures = (await stage.kubelet.logLines('Failed to rotate log for container')).filter((line) =>
      line.includes('default_counter-'),
    );
    const refused = failures.filter((line) => !CONNECTION_LOST.test(line));
    if (refused.length > 0)
      throw new Error(`${refused.length} reopenings were refused, such as: ${refused[0] ?? ''}`);
    const unanswered = failures.length;
    if (gaps.length > unanswered)
      throw new Error(
        `${gaps.join(', ')} lines are missing of ${numbers.length} in ${files} files; ${unanswered} reopenings went unanswered`,
      );
    return numbers.length > 0 ? { lines: numbers.length, files, gaps, unanswered } : undefined;
  });
  const lost = found.gaps.reduce((sum, gap) => sum + gap, 0);
  return `${found.lines} lines in ${found.files} files of the kubelet's rotation, none doubled, ${lost} lost at ${found.unanswered} reopenings whose answer a kill cut off`;
}

/** Removes all pods, also those of scenarios that failed. */
export async function endAll(stage: Stage): Promise<Remains[]> {
  return await Promise.all((await stage.kubelet.applied()).map(async (name) => await stage.withdraw(name)));
}
