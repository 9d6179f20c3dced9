// One system call of an operation, at which the daemon is killed or the client leaves, and what comes of it.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { injects } from '../../support/faults/injects.ts';
import { eventually } from '../../support/eventually.ts';
import { differences, type Machine, snapshotMachine } from '../../support/baseline.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { reachedOrOver, stopAtCall, type Side } from '../../support/tracer/tracer.ts';
import { troupeCheck } from '../churn/churn.ts';
import { makeWorld } from '../support/world.ts';
import { holdable, startStoppedAt } from './held-start.ts';
import {
  type Act,
  imageName,
  makePod,
  type Operation,
  removeContainer,
  removePod,
  running,
  type Stage,
  type Standing,
} from './stage.ts';
import { SMALL, smallImage } from './small-image.ts';

/** What happens at the call: the daemon is killed before or after it, or the client cancels before it. */
export type Kind = 'before' | 'after' | 'cancel';
export const KINDS: readonly Kind[] = ['before', 'after', 'cancel'];

const cancelled = injects('F68', 'a client cancels while the daemon stands before a system call');
const killedAgain = injects('F10', 'SIGKILL of the next instance at a system call of its start and recovery');

export interface Point {
  readonly operation: string;
  /** Number of the call among those of the operation that change the world, from 1. */
  readonly at: number;
  /**
   * In a sweep of recoveries: the call of the operation before which the daemon was killed, while `at` is one of the
   * next instance, from the exec of its program.
   */
  readonly first?: number;
  readonly kind: Kind;
  /** The call, with its paths shortened. */
  readonly call: string;
  /** What was wrong afterwards; '' when nothing was. */
  readonly problem: string;
  /** ms from the end of all calls until nothing was left. */
  readonly settledMs: number;
}

/** What stands during a sweep, and the state of the machine with it. */
export interface Base extends Stage {
  readonly before: Picture;
}

interface Picture {
  readonly machine: Machine;
  readonly files: readonly string[];
}

/**
 * Milliseconds for which calls after the answer still belong to the operation, such as the removal of files in the
 * background. It decides only where a sweep ends.
 */
const AFTER_ANSWER_MS = 300;
const POLL_MS = 100;
/** Levels of directories that are compared; below are the files of images and of containers. */
const DEPTH = 3;

/** Starts a daemon and makes what stands. Needs root. */
export async function makeBase(standing: Standing): Promise<Base> {
  const world = await makeWorld({
    name: 'kills',
    stateInMemory: true,
    images: new Map([[SMALL, smallImage()]]),
    before: holdable,
  });
  try {
    const name = { image: imageName(world) };
    const image = (await world.client.image.pullImage({ image: name })).imageRef;
    const stage = { world, standing, image, pod: { podSandboxId: '', sandboxConfig: {} } };
    if (standing === 'nothing') {
      await world.client.image.removeImage({ image: name });
      return { ...stage, before: await calmPicture(stage) };
    }
    // the bridge comes with the first pod and stays; the pod's cgroup of monitors with its first container
    const pod = await makePod(stage, 'stands');
    await removeContainer(stage, await running({ ...stage, pod }, 'first'));
    if (standing === 'an image') await removePod(stage, pod.podSandboxId);
    return { ...stage, pod, before: await calmPicture(stage) };
  } catch (error) {
    await world.close();
    throw error;
  }
}

/** Once the trash has been emptied. */
const calmPicture = (stage: Stage): Promise<Picture> =>
  eventually('an empty trash', async () => {
    const picture = await pictureOf(stage);
    const trash = join(stage.world.instance.root, 'trash/');
    return picture.files.some((file) => file.startsWith(trash)) ? undefined : picture;
  });

async function pictureOf({ world: { instance } }: Stage): Promise<Picture> {
  const places = [instance.root, instance.state, instance.netnsDir, join(instance.directory, 'leases')];
  const files = await Promise.all(places.map((place) => listed(place, DEPTH)));
  return { machine: await snapshotMachine(instance.words), files: files.flat() };
}

/**
 * What is below a directory. Not compared: the journal, which `troupe check` reads, and the flight recorder's files,
 * which go by age and size.
 */
async function listed(directory: string, depth: number): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (['journal', 'flight'].includes(entry.name) || entry.name.startsWith('last_reserved_ip')) continue;
    found.push(path);
    if (entry.isDirectory() && depth > 1) found.push(...(await listed(path, depth - 1)));
  }
  return found;
}

/** What is there and was not before, or the other way round, once that no longer changes for the better. */
async function rest(base: Base): Promise<readonly string[]> {
  const deadline = performance.now() + EVENT_MS;
  for (;;) {
    const now = await pictureOf(base);
    const lines = [
      ...differences(base.before.machine, now.machine).filter((line) => !line.includes('(zombie)')),
      ...now.files.filter((file) => !base.before.files.includes(file)).map((file) => `+ ${file}`),
      ...base.before.files.filter((file) => !now.files.includes(file)).map((file) => `- ${file}`),
    ];
    if (lines.length === 0 || performance.now() > deadline) return lines;
    await delay(POLL_MS);
  }
}

/** The same for all ids and directories, so that calls can be counted. */
const shortened = (call: string, { world }: Stage): string =>
  call
    .replaceAll(world.instance.directory, '')
    .replace(/[0-9a-f]{64}/gu, 'ID')
    .replace(/\b\d{3,}\b/gu, 'N');

/** The log of a removed container stays, so that no other operation may use its name in the same pod. */
const labelOf = ({ name }: Operation, what: string): string => `${name.toLowerCase()}-${what}`;

/**
 * Kills the daemon at a call of an operation, starts it again, and checks what it then reports, has left, and does. Or
 * cancels there, and checks the same without a new start.
 * @returns undefined when the operation has fewer calls
 */
export async function strike(
  base: Base,
  operation: Operation,
  { at, kind }: Pick<Point, 'at' | 'kind'>,
): Promise<Point | undefined> {
  const { instance } = base.world;
  const act = await operation.prepare(base, labelOf(operation, `${kind}${at}`));
  const side: Side = kind === 'cancel' ? 'hold' : kind;
  const traced = await stopAtCall(instance.pid(), at, side);
  const client = new AbortController();
  const answer = act.call({ signal: client.signal }).then(
    () => '',
    (error: unknown) => `the operation failed: ${String(error)}`,
  );
  const reached = await reachedOrOver(traced, answer, AFTER_ANSWER_MS);
  if (kind === 'cancel' && reached !== undefined) {
    client.abort();
    await answer;
  }
  await (kind === 'cancel' || reached === undefined ? traced.leave() : instance.ended());
  const failure = await (reached === undefined
    ? answer
    : kind === 'cancel'
      ? ''
      : afterKill(base, act).catch(String));
  const settled = await settle(base, act, failure);
  if (reached === undefined && settled.problem === '') return undefined;
  if (reached !== undefined) (kind === 'cancel' ? cancelled : operation.fault).happened();
  return {
    operation: operation.name,
    at,
    kind,
    call: shortened(reached ?? 'not reached', base),
    ...settled,
  };
}

/** The request again and removal, unless something is wrong already; then a comparison with what was there before. */
async function settle(base: Base, act: Act, failure: string): Promise<Pick<Point, 'problem' | 'settledMs'>> {
  const problem = failure === '' ? await act.end().then(() => '', String) : failure;
  const endedAt = performance.now();
  const left = problem === '' ? await rest(base) : [];
  return {
    problem: [problem, ...left].filter((line) => line !== '').join('; '),
    settledMs: Math.round(performance.now() - endedAt),
  };
}

/**
 * Kills the daemon before the call `first` of an operation, the next instance at a call of its start and recovery, and
 * checks the one after that as `strike` does.
 * @returns undefined when the next instance has fewer calls
 */
export async function strikeAgain(
  base: Base,
  operation: Operation,
  { first, at, kind }: { readonly first: number; readonly at: number; readonly kind: 'before' | 'after' },
): Promise<Point | undefined> {
  const { instance } = base.world;
  const act = await operation.prepare(base, labelOf(operation, `again${first}${kind}${at}`));
  const traced = await stopAtCall(instance.pid(), first, 'before');
  const answer = act.call().then(
    () => 'the answer',
    () => 'the daemon is gone',
  );
  const where = { operation: operation.name, first, at, kind };
  const begun = await reachedOrOver(traced, answer, AFTER_ANSWER_MS);
  if (begun === undefined) {
    await traced.leave();
    const { problem } = await settle(base, act, '');
    return {
      ...where,
      call: 'none',
      problem: `it has no call ${first}: it got ${await answer}; ${problem}`,
      settledMs: 0,
    };
  }
  await instance.ended();
  await answer;
  const reached = await startStoppedAt(instance, at, kind, AFTER_ANSWER_MS);
  const failure = reached === undefined ? '' : await afterKill(base, act).catch(String);
  const settled = await settle(base, act, failure);
  if (reached === undefined && settled.problem === '') return undefined;
  if (reached !== undefined) killedAgain.happened();
  return { ...where, call: shortened(reached ?? 'not reached', base), ...settled };
}

/** The next instance: it starts, what it reports is true, and the machine agrees with its records. */
async function afterKill(base: Base, act: Act): Promise<string> {
  await base.world.instance.start();
  if (await act.seen()) {
    const left = await rest(base);
    if (left.length > 0) return `nothing is listed, but there is ${left.join('; ')}`;
  }
  return await troupeCheck(base.world);
}

/**
 * How many calls of an operation change the world, up to its answer.
 * @param why another word for each count of the operation on a base
 */
export async function countCalls(base: Base, operation: Operation, why: string): Promise<number> {
  const act = await operation.prepare(base, labelOf(operation, `counted-${why}`));
  const traced = await stopAtCall(base.world.instance.pid(), 0, 'before');
  await act.call();
  const calls = traced.calls.length;
  await traced.leave();
  await act.end();
  return calls;
}
