// Pods under load while the daemon becomes one of another version, and back.
import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { until } from '../../support/eventually.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { says, SERVES, Successors } from '../handover/successors.ts';
import { type LoadTally, startLoad } from './load.ts';
import { buildCommit, type BuiltProgram, ownProgram } from './previous.ts';

export interface UpgradeOptions {
  readonly from: { readonly commit: string; readonly name: string };
  readonly pods: number;
  readonly lives: number;
  readonly execsPerSecond: number;
  /** Calls that clients have made after each change before the next. */
  readonly callsBetween: number;
}

export interface UpgradeStep {
  readonly to: string;
  /** By a take-over, of which clients notice nothing, or by an end and a start. */
  readonly way: 'take-over' | 'restart';
  /** ms from the request until the new daemon serves. */
  readonly ms: number;
  readonly tally: LoadTally;
}

export interface UpgradeResult {
  readonly steps: readonly UpgradeStep[];
  /** Containers whose process or start time is another one than before, or that do not run. */
  readonly restarted: readonly string[];
  /** Why the way back was not gone; '' where it was. */
  readonly notBack: string;
  readonly leftovers: readonly string[];
}

/** Runs it in a world of its own. */
export async function upgrade(options: UpgradeOptions): Promise<UpgradeResult> {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-upgrade-'));
  const link = join(directory, 'program');
  let world: World | undefined;
  let successors: Successors | undefined;
  try {
    const [previous, own] = [await buildCommit(directory, options.from), ownProgram()];
    choose(link, previous);
    world = await makeWorld({
      name: 'upgr',
      isWide: true,
      logLevel: 'info',
      // the program that the link names now, in the place of the checkout's
      before: () => ['sh', '-c', 'shift && exec "$(readlink "$0")" "$@"', link],
    });
    successors = new Successors(world.instance);
    return await changes({ world, successors, link }, [own, previous], options);
  } finally {
    await successors?.kill();
    await world?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The instance, and its daemons after the first one, which run what the link names when they start. */
interface Changing {
  readonly world: World;
  readonly successors: Successors;
  readonly link: string;
}

async function changes(
  changing: Changing,
  [own, previous]: readonly [BuiltProgram, BuiltProgram],
  options: UpgradeOptions,
): Promise<UpgradeResult> {
  const { world, successors, link } = changing;
  const image = await world.pull();
  const containers = await makePods(world, image, options.pods);
  const before = await processesOf(world, containers);
  const isCompatible = own.journal <= previous.journal;
  const steps: UpgradeStep[] = [];
  for (const program of isCompatible ? [own, previous] : [own]) {
    const load = startLoad(world, { image, containers, ...options });
    const { tally } = load;
    await calls(tally, options.callsBetween);
    choose(link, program);
    const way = own.takesOver && previous.takesOver ? 'take-over' : 'restart';
    const ms = await replaceDaemon(changing, way);
    await calls(tally, options.callsBetween);
    await load.end();
    steps.push({ to: program.name, way, ms, tally });
  }
  const after = await processesOf(world, containers);
  const restarted = [...before].filter(([id, process]) => after.get(id) !== process).map(([id]) => id);
  return {
    steps,
    restarted,
    notBack: isCompatible
      ? ''
      : `${previous.name} reads the journal up to ${previous.journal}, and ${own.name} has written ${own.journal}`,
    leftovers: await removed(world, successors),
  };
}

/** The next start runs this program. */
function choose(link: string, { path }: BuiltProgram): void {
  symlinkSync(path, `${link}.new`);
  renameSync(`${link}.new`, link);
}

/**
 * The daemon becomes the program of the link: it hands over, or it ends and the next one starts, between which clients
 * get Unavailable. Answers its time in ms.
 */
async function replaceDaemon({ world, successors }: Changing, way: UpgradeStep['way']): Promise<number> {
  const startedAt = performance.now();
  if (way === 'take-over') await says(successors.start(), SERVES);
  else {
    await world.instance.terminate();
    await world.instance.start();
  }
  return performance.now() - startedAt;
}

/** Waits for so many further calls. */
async function calls(tally: LoadTally, count: number): Promise<void> {
  const enough = tally.calls + count;
  await until(() => tally.calls >= enough);
}

async function makePods(
  { client: { runtime }, logs }: World,
  image: string,
  count: number,
): Promise<readonly string[]> {
  const made: string[] = [];
  for (let number = 0; number < count; number += 1) {
    const name = `stays-${number}`;
    const pod = sandboxConfig({ name, logDirectory: join(logs, name) });
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod });
    const config = containerConfig({ name, image, command: untilTermed(0) });
    const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: pod });
    await runtime.startContainer({ containerId });
    made.push(containerId);
  }
  return made;
}

/** Of each container that runs: pid and start time, by which a process is known from one that got its pid. */
async function processesOf(
  { client: { runtime } }: World,
  containers: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const containerId of containers) {
    const { status, info } = await runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid?: number };
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    if (status?.state === ContainerState.CONTAINER_RUNNING && startTicks !== '')
      found.set(containerId, `${pid} ${startTicks} ${status.startedAt}`);
  }
  return found;
}

/** Removes all pods; what is left on the machine. */
async function removed(world: World, successors: Successors): Promise<readonly string[]> {
  const { runtime } = world.client;
  for (const { id } of (await runtime.listPodSandbox({})).items) {
    await runtime.stopPodSandbox({ podSandboxId: id });
    await runtime.removePodSandbox({ podSandboxId: id });
  }
  if (successors.all.length > 0) await successors.terminate();
  return await world.leftovers();
}

/** Whether nothing restarted, failed or was left, and no client had to ask again where a daemon handed over. */
export const isUnnoticed = ({ steps, restarted, leftovers }: UpgradeResult): boolean =>
  restarted.length + leftovers.length + steps.flatMap(({ tally }) => tally.failed).length === 0 &&
  steps.every(({ way, tally }) => way === 'restart' || tally.unavailable === 0);

/** Markdown. */
export function upgradeText({ from, pods }: UpgradeOptions, result: UpgradeResult): string {
  const { steps, restarted, notBack, leftovers } = result;
  return [
    `${pods} pods from ${from.name} (${from.commit.slice(0, 8)}), under load. A client that gets Unavailable asks again.`,
    '',
    '| to | by | ms | calls | failed | Unavailable, asked again | longest call, ms |',
    '|---|---|---|---|---|---|---|',
    ...steps.map(
      ({ to, way, ms, tally }) =>
        `| ${to} | ${way} | ${ms.toFixed(0)} | ${tally.calls} | ${tally.failed.length} | ${tally.unavailable} | ${tally.longestMs.toFixed(0)} |`,
    ),
    '',
    `Containers whose process is another one: ${restarted.length} of ${pods}. Left on the machine: ${leftovers.length}.`,
    ...(notBack === '' ? [] : ['', `Not back: ${notBack}.`]),
    ...[...steps.flatMap(({ tally }) => tally.failed), ...leftovers].map((line) => `- ${line}`),
  ].join('\n');
}
