// A daemon that is replaced again and again under load: what fails, breaks and waits.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomStream } from '../../sim/random.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { connectSpdy, openCommand } from '../../integration/streaming/clients.ts';
import { until } from '../../support/eventually.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { World } from '../support/world.ts';
import { CallTally, startClients } from './clients.ts';
import { killRound, type KillOutcome } from './deaths.ts';
import {
  COUNTING,
  followChanges,
  followEvents,
  followCount,
  followStream,
  type Followed,
} from './followed.ts';
import { startForward } from './forwarded.ts';
import { startLists, type ListFigures } from './lists.ts';
import { newSessions, startSessions, type Daemons, type SessionTally } from './sessions.ts';
import { FREEZES, momentOf, RELEASED, says, SERVES, Successors } from './successors.ts';

export interface HandoverOptions {
  readonly takeOvers: number;
  readonly clients: number;
  readonly execsPerSecond: number;
  readonly sessions: number;
  /** Take-overs that each session lives through. */
  readonly span: number;
  readonly forwardBytes: number;
  /** Pods that stay. */
  readonly pods: number;
  /** ms between the end of a take-over and the next one. */
  readonly everyMs: number;
  /** ms between two pods of one client, in which it lists. */
  readonly pauseMs: number;
  /** Whether half of the pods that come and go have a network of their own. */
  readonly hasNetwork: boolean;
  /** Whether one of the two daemons is killed in each take-over. */
  readonly isKilled: boolean;
  readonly seed: number;
  /** Words before the command of the process that lists. */
  readonly besideClients?: readonly string[];
  readonly onStep?: (line: string) => void;
}

/** Moments of one take-over, epoch ms. */
export interface TakeOverTimes {
  readonly startedMs: number;
  readonly freezesMs: number;
  readonly releasedMs: number;
  readonly servesMs: number;
}

export interface HandoverResult {
  readonly times: readonly TakeOverTimes[];
  readonly kills: readonly KillOutcome[];
  readonly tally: CallTally;
  readonly sessions: SessionTally;
  readonly events: number;
  readonly lists: ListFigures;
  /** What was followed and had an end, a gap or something twice; URLs that could not be used. */
  readonly broken: readonly string[];
  /** Pods and containers that were to stay, and did not. */
  readonly lost: readonly string[];
  readonly leftovers: readonly string[];
}

interface Standing {
  readonly podId: string;
  readonly containerId: string;
}

/** Runs it in a world that was just made, and ends its daemons. */
export async function handOver(world: World, options: HandoverOptions): Promise<HandoverResult> {
  const { isKilled } = options;
  const daemons = new Successors(world.instance);
  try {
    const image = await world.pull();
    const standing = await makeStanding(world, image, options.pods);
    const before = await processesOf(world, standing);
    const run = { world, daemons, standing, image, options };
    const ran = await underLoad(run);
    const lost = await lostOf(world, standing, before);
    for (const { podId } of standing) await removePod(world, podId);
    const { items } = await world.client.runtime.listPodSandbox({});
    const more = isKilled ? await removeAll(world, items) : items.map(({ id }) => `+ pod ${id}`);
    world.client.close();
    await daemons.terminate();
    return { ...ran, lost, leftovers: [...more, ...(await world.leftovers())] };
  } finally {
    await daemons.kill();
  }
}

/** A client that met a kill may have left a pod whose removal it could not ask for any more. */
async function removeAll(
  world: World,
  items: readonly { readonly id: string }[],
): Promise<readonly string[]> {
  for (const { id } of items) await removePod(world, id);
  return [];
}

interface Run {
  readonly world: World;
  readonly daemons: Successors;
  readonly standing: readonly Standing[];
  readonly image: string;
  readonly options: HandoverOptions;
}

type Ran = Omit<HandoverResult, 'lost' | 'leftovers'>;

async function underLoad(run: Run): Promise<Ran> {
  const { world, daemons, standing, image, options } = run;
  const { isKilled, takeOvers, seed } = options;
  const tally = new CallTally(isKilled);
  const sessions = newSessions();
  const killed = new Set<number>();
  const kills: KillOutcome[] = [];
  let turn = 0;
  const known: Daemons = {
    turn: () => turn,
    serving: () => daemons.serving(),
    wasKilled: (pid) => killed.has(pid),
    kills: () => killed.size,
    // its round ends when one answers again
    isDown: () => killed.size > kills.length,
  };
  const [{ podId, containerId } = { podId: '', containerId: '' }] = standing;
  const follows = isKilled ? [] : await startFollowing(run);
  const lists = await startLists(world.instance.socket, isKilled, options.besideClients);
  const ends = [
    startClients(world, tally, { image, containerId, ...options }),
    startSessions(world, sessions, {
      containerId,
      ...options,
      takeOvers: options.span,
      daemons: known,
    }),
    await startForward(world, sessions, { podId, bytes: options.forwardBytes, takeOvers, daemons: known }),
  ];
  const times: TakeOverTimes[] = [];
  const broken: string[] = [];
  const random = randomStream(seed, 'kills');
  for (; turn < takeOvers; turn += 1) {
    await delay(options.everyMs);
    if (isKilled) kills.push(await killRound(world, daemons, killed, random));
    else times.push(await takeOverOnce(run, containerId, broken));
    options.onStep?.(stepText(turn, times.at(-1), kills.at(-1), tally));
  }
  await delay(options.everyMs);
  await Promise.all(ends.map((end) => end()));
  const figures = await lists();
  const events = follows[0]?.count() ?? 0;
  const wrong = await Promise.all(follows.map(({ end }) => end(tally.removed)));
  return { times, kills, tally, sessions, events, lists: figures, broken: [...broken, ...wrong.flat()] };
}

function stepText(
  turn: number,
  times: TakeOverTimes | undefined,
  kill: KillOutcome | undefined,
  tally: CallTally,
): string {
  const what =
    kill === undefined
      ? `frozen ${(times?.servesMs ?? 0) - (times?.freezesMs ?? 0)} ms`
      : `${kill.victim} killed ${kill.afterMs} ms after "${kill.phase}", one serves again after ${kill.backMs} ms`;
  const failed = tally.failed.length === 0 ? '' : ` (the last: ${tally.failed.at(-1)})`;
  return `${turn + 1}: ${what}; ${tally.calls} calls, ${tally.failed.length} failed${failed}`;
}

/** Each that has begun: events have come for pods of now. */
async function startFollowing({ world, standing, image }: Run): Promise<readonly Followed[]> {
  const events = [await followEvents(world), await followStream(world)];
  for (let at = 0; events.some((one) => one.count() === 0); at += 1)
    await removePod(world, (await makePod(world, `first-${at}`, image, untilTermed(0))).podId);
  const counting = standing.at(-1)?.containerId ?? '';
  const counts: Followed[] = [];
  for (const by of ['crictl logs', 'troupe logs', 'crictl attach'] as const)
    counts.push(await followCount(world, by, counting));
  const changes = await followChanges(world);
  await until(() => counts.every((one) => one.count() > 0));
  return [...events, ...counts, changes];
}

/** One take-over; a URL that was issued before is used after it. */
async function takeOverOnce(
  { world, daemons }: Run,
  containerId: string,
  broken: string[],
): Promise<TakeOverTimes> {
  const { url } = await world.client.runtime.exec({ containerId, cmd: ['echo', 'issued'], stdout: true });
  const successor = daemons.start();
  const servesMs = await says(successor, SERVES);
  await usedUrl(url).catch((error: unknown) => broken.push(`a URL of before: ${String(error)}`));
  const [freezesMs = 0, releasedMs = 0] = await Promise.all([
    momentOf(successor.log, FREEZES),
    momentOf(successor.log, RELEASED),
  ]);
  return { startedMs: successor.startedMs, freezesMs, releasedMs, servesMs };
}

/** Throws unless the command of this URL prints what it should. */
async function usedUrl(url: string): Promise<void> {
  const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
  const { stdout } = await openCommand(client, 'stdout');
  const text = (await stdout.all).toString();
  client.close();
  if (text !== 'issued\n') throw new Error(`it gave ${JSON.stringify(text)}`);
}

/** The last one counts. */
async function makeStanding(world: World, image: string, count: number): Promise<readonly Standing[]> {
  const made: Standing[] = [];
  for (let at = 0; at < count; at += 1)
    made.push(await makePod(world, `stays-${at}`, image, at < count - 1 ? untilTermed(0) : COUNTING));
  return made;
}

async function makePod(
  { client: { runtime }, logs }: World,
  name: string,
  image: string,
  command: readonly string[],
): Promise<Standing> {
  const logDirectory = join(logs, name);
  await mkdir(join(logDirectory, 'main'), { recursive: true });
  const pod = sandboxConfig({ name, logDirectory, hostNetwork: true });
  const { podSandboxId } = await runtime.runPodSandbox({ config: pod });
  const config = containerConfig({ name: 'main', image, command, hostNetwork: true });
  const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: pod });
  await runtime.startContainer({ containerId });
  return { podId: podSandboxId, containerId };
}

async function removePod({ client: { runtime } }: World, podSandboxId: string): Promise<void> {
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
}

/** Process and its start of each container that runs. */
async function processesOf(
  { client: { runtime } }: World,
  standing: readonly Standing[],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { containerId } of standing) {
    const { status, info } = await runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid?: number };
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    if (status?.state === ContainerState.CONTAINER_RUNNING && startTicks !== '')
      found.set(containerId, `${pid} ${startTicks}`);
  }
  return found;
}

async function lostOf(
  world: World,
  standing: readonly Standing[],
  before: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const { items } = await world.client.runtime.listPodSandbox({});
  const pods = new Set(items.map(({ id }) => id));
  const after = await processesOf(world, standing);
  return [
    ...standing.filter(({ podId }) => !pods.has(podId)).map(({ podId }) => `pod ${podId} is not listed`),
    ...standing
      .filter(({ containerId }) => after.get(containerId) !== before.get(containerId))
      .map(({ containerId: id }) => `container ${id}: process ${before.get(id)} is now ${after.get(id)}`),
  ];
}
