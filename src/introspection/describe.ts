/** Views, activity and history → messages. Each field is copied by name, so nothing else of a view is shown. */
import { readFile, readdir } from 'node:fs/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Activity, RunningEffect } from '../actors/effects/activity.ts';
import type { LayerProgress } from '../actors/image-pull/progress.ts';
import type { Troupe } from '../actors/troupe.ts';
import type { ClockPort } from '../ports/clock.ts';
import { introspectionLimits } from './bounds.ts';
import { printable } from '../base/fault.ts';
import { executesNow } from '../base/statm.ts';
import { sandboxAddress } from '../actors/sandbox/sandbox.context.ts';
import type { ContainerView, GraceView, View } from '../actors/directory/views.ts';
import type {
  ActorSchema,
  ChangeSchema,
  ProcessSchema,
  PullLayerSchema,
  WaitSchema,
} from '../gen/introspection/v1/introspection_pb.ts';
import type { Change, Past, Recorder } from './recorder.ts';
import { startTime } from './starts.ts';

/** The initializer with plain fields only; the union with complete messages could not be spread. */
export type ActorMessage = Extract<MessageInitShape<typeof ActorSchema>, { readonly $typeName?: never }>;
type WaitMessage = Extract<MessageInitShape<typeof WaitSchema>, { readonly $typeName?: never }>;
type ChangeMessage = Extract<MessageInitShape<typeof ChangeSchema>, { readonly $typeName?: never }>;
type ProcessMessage = Extract<MessageInitShape<typeof ProcessSchema>, { readonly $typeName?: never }>;

export interface Describing {
  readonly activity: Activity;
  readonly recorder: Recorder;
  readonly clock: ClockPort;
  readonly troupe: Pick<Troupe, 'pullLayers'>;
}

/** One actor with what it waits for; the processes it waits for are read from /proc. */
export async function describeActor(stage: Describing, view: View): Promise<ActorMessage> {
  const isThere = stage.recorder.past(view.address)?.end === undefined;
  const running = isThere ? stage.activity.of(view.address) : [];
  const waits = await Promise.all(running.map((one) => describeWait(stage.clock, one)));
  const grace = isThere && hasGrace(view) ? [await describeGrace(stage, view)] : [];
  return actorWith(stage, view, [...waits, ...grace]);
}

/** The same without reading anything: nothing is waited for, and the processes have no state. */
export function describeAtOnce(stage: Describing, view: View): ActorMessage {
  const isThere = stage.recorder.past(view.address)?.end === undefined;
  const running = isThere ? stage.activity.of(view.address) : [];
  const waits = running.map((one) => plainWait(stage.clock, one));
  return actorWith(stage, view, isThere && hasGrace(view) ? [...waits, graceWait(stage, view)] : waits);
}

/** A container that has got its stop signal: no effect of ours is under way, and yet it waits. */
export function hasGrace(view: View): view is InGrace {
  return view.kind === 'container' && view.grace !== undefined;
}

type InGrace = ContainerView & { readonly grace: GraceView };

/** The wait for a container's first process. Those below it are the user's, and are not shown (S91). */
async function describeGrace(stage: Describing, view: InGrace): Promise<WaitMessage> {
  const { init } = view;
  return { ...graceWait(stage, view), ...(init === undefined ? {} : await processFacts(init.pid)) };
}

function graceWait({ clock, recorder }: Describing, { address, grace, init }: InGrace): WaitMessage {
  const { signal, askedAtMonoMs, leftMs } = grace;
  const sinceNs =
    askedAtMonoMs === undefined
      ? (recorder.past(address)?.sinceNs ?? clock.nowNs())
      : clock.nowNs() - nanoseconds(clock.monoMs() - askedAtMonoMs);
  return {
    effect: 'grace',
    on: `its process to exit: ${signal} was sent, SIGKILL follows`,
    sinceNs,
    deadlineNs: sinceNs + nanoseconds(leftMs),
    ...(init === undefined ? {} : { pid: BigInt(init.pid) }),
  };
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1e6));

/** One actor with these waits. */
export function actorWith(stage: Describing, view: View, waits: WaitMessage[]): ActorMessage {
  const past = stage.recorder.past(view.address);
  return {
    ...identityOf(stage, view),
    address: view.address,
    kind: view.kind,
    chart: view.kind === 'pull' ? 'image-pull' : view.kind,
    state: past?.end === undefined ? view.path : 'gone',
    sinceNs: past?.sinceNs ?? 0n,
    settled: view.settled,
    listed: view.listed,
    claimed: view.claimed,
    debts: view.kind === 'pull' ? [] : [...view.pendingCleanup],
    fault: view.fault?.message ?? '',
    waits,
    removedNs: past?.end?.atNs ?? 0n,
    ...startOf(view, past),
  };
}

function startOf(view: View, past: Past | undefined): ActorMessage {
  const start = view.kind === 'pull' ? undefined : startTime(view.kind, past?.history ?? []);
  return start === undefined ? {} : { startMs: BigInt(Math.round(start.ms)), startLongest: start.longest };
}

function identityOf(stage: Describing, view: View): ActorMessage {
  switch (view.kind) {
    case 'sandbox': {
      const { name, namespace, attempt } = view.spec.key;
      return {
        id: view.id,
        name,
        namespace,
        attempt,
        createdNs: view.createdAtNs,
        pid: BigInt(view.pause?.pid ?? 0),
      };
    }
    case 'container': {
      const { name, attempt, sandboxId } = view.spec.key;
      return {
        id: view.id,
        name,
        attempt,
        sandboxId,
        createdNs: view.createdAtNs,
        pid: BigInt(view.exit === undefined ? (view.init?.pid ?? 0) : 0),
        hasExited: view.exit !== undefined,
        exitCode: view.exit?.exitCode ?? 0,
        exitReason: view.exit?.reason ?? '',
      };
    }
    case 'pull':
      return {
        id: view.address.slice('pull/'.length),
        name: view.reference,
        layers: stage.troupe.pullLayers(view.address).map(pullLayer),
      };
  }
}

function pullLayer({
  digest,
  sizeBytes,
  downloadedBytes,
  bytesPerSecond,
  remainingMs,
  present,
}: LayerProgress): MessageInitShape<typeof PullLayerSchema> {
  return {
    digest,
    sizeBytes: BigInt(sizeBytes),
    downloadedBytes: BigInt(downloadedBytes),
    present,
    bytesPerSecond: BigInt(bytesPerSecond),
    ...(remainingMs === undefined ? {} : { remainingMs: BigInt(remainingMs) }),
  };
}

async function describeWait(clock: ClockPort, running: RunningEffect): Promise<WaitMessage> {
  const pid = running.waiting?.pid;
  return {
    ...plainWait(clock, running),
    ...(pid === undefined ? {} : await processFacts(pid)),
    below: pid === undefined || EXECS.has(running.effect) ? [] : await processesBelow(pid),
  };
}

/** A wait as the daemon knows it, without the state of its process. */
export function plainWait(clock: ClockPort, running: RunningEffect): WaitMessage {
  const nowNs = clock.nowNs();
  const nowMono = clock.monoMs();
  const atWall = (monoMs: number): bigint => nowNs + nanoseconds(monoMs - nowMono);
  return {
    effect: running.effect,
    on: running.waiting?.on ?? '',
    argv: [...(running.waiting?.argv ?? [])],
    pid: BigInt(running.waiting?.pid ?? 0),
    sinceNs: atWall(running.sinceMonoMs),
    deadlineNs: atWall(running.deadlineMonoMs),
  };
}

/** Effects that run a user's command: its processes, of any number and name, are not shown (S91). */
const EXECS: ReadonlySet<string> = new Set(['execSync', 'exec']);

/** State letter and kernel stack (proc(5)); empty when the process has ended or the kernel does not show them. */
async function processFacts(
  pid: number,
): Promise<{ readonly processState: string; readonly kernelStack: string }> {
  const { state, kernelStack } = await readProcess(pid);
  return { processState: state, kernelStack };
}

async function readProcess(
  pid: number,
): Promise<{ readonly name: string; readonly state: string; readonly kernelStack: string }> {
  const [status, statm] = await Promise.all([
    readProc(`/proc/${pid}/status`),
    readProc(`/proc/${pid}/statm`),
  ]);
  // whoever reads its stack now, or its stat, waits until its execve ends: each reader would take a thread of the pool
  // (see host/process/process-status.ts)
  const stack = executesNow(statm) ? IN_EXECVE : await readStack(pid);
  const lines = stack.slice(0, introspectionLimits.stackBytes).split('\n').map(printable);
  return {
    name: printable(/^Name:\t(.*)$/mu.exec(status)?.[1] ?? ''),
    state: /^State:\t(.)/mu.exec(status)?.[1] ?? '',
    kernelStack: lines.filter((line) => line !== '').join('\n'),
  };
}

/** Stacks that are being read. */
let stacksUnread = 0;

/** Empty while others can't be read: a process can hold its reader up, and so take a thread of libuv's pool. */
async function readStack(pid: number): Promise<string> {
  if (stacksUnread >= introspectionLimits.stacksAtOnce) return '';
  stacksUnread += 1;
  try {
    return await readProc(`/proc/${pid}/stack`);
  } finally {
    stacksUnread -= 1;
  }
}

const IN_EXECVE = 'in execve(2): closes files, one on a dead file system?';

/** Descendants of a process, parents first, at most `processesBelow`; those that end meanwhile are left out. */
async function processesBelow(root: number): Promise<ProcessMessage[]> {
  const found: ProcessMessage[] = [];
  const parents = [root];
  for (let parent = parents.shift(); parent !== undefined; parent = parents.shift()) {
    for (const pid of await childrenOf(parent)) {
      if (found.length >= introspectionLimits.processesBelow) return found;
      const { name, state, kernelStack } = await readProcess(pid);
      if (state === '') continue;
      found.push({ pid: BigInt(pid), parentPid: BigInt(parent), name, state, kernelStack });
      parents.push(pid);
    }
  }
  return found;
}

/** Children of a process. The kernel lists them per thread (proc_tid_children(5)). */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch((): string[] => []);
  const lists = await Promise.all(
    threads
      .slice(0, introspectionLimits.threads)
      .map((thread) => readProc(`/proc/${pid}/task/${thread}/children`)),
  );
  return lists
    .flatMap((list) => list.trim().split(' '))
    .map(Number)
    .filter((child) => child > 0);
}

async function readProc(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1');
  } catch {
    return '';
  }
}

/** One state change as a message. */
export function describeChange(change: Change): ChangeMessage {
  const { seq, atNs, address, from, to, on, cause, settled, fault = '', exit } = change;
  return {
    seq,
    atNs,
    address,
    from,
    to,
    on,
    cause,
    settled,
    fault,
    ...(exit === undefined ? {} : { hasExited: true, exitCode: exit.exitCode, exitReason: exit.reason }),
  };
}

/** One state change with the names of its actor, which the client of a stream can't look up once it is removed. */
export function describeNamedChange(
  change: Change,
  {
    troupe: { directory },
    recorder,
  }: Pick<Describing, 'recorder'> & { readonly troupe: Pick<Troupe, 'directory'> },
): ChangeMessage {
  const viewOf = (address: string): View | undefined =>
    directory.view(address) ?? recorder.past(address)?.end?.view;
  return { ...describeChange(change), ...namesOf(viewOf(change.address), viewOf) };
}

function namesOf(view: View | undefined, viewOf: (address: string) => View | undefined): ChangeMessage {
  switch (view?.kind) {
    case 'sandbox':
      return { name: view.spec.key.name, namespace: view.spec.key.namespace };
    case 'container': {
      const { name, sandboxId } = view.spec.key;
      const pod = viewOf(sandboxAddress(sandboxId));
      return pod?.kind === 'sandbox'
        ? { name, pod: pod.spec.key.name, namespace: pod.spec.key.namespace }
        : { name };
    }
    case 'pull':
      return { name: view.reference };
    case undefined:
      return {};
  }
}
