/** Observes containers and pause processes by files and /proc alone: no process is started. */
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExitFact } from '../../../ports/journal.ts';
import type { PauseFacts, RuntimeFacts } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { parseContainerId, parseSandboxId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { isForkedOnly, processExists } from '../../../host/process/process-identity.ts';
import { FILES } from '../../documents/checkpoint-documents.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { toPortIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { awaitsStart, exists, hasFifo, hasRuntimeState, namesIn, readRuntimeState } from './state.ts';
import { PAUSE_SUFFIX } from '../handlers/handlers.ts';
import { rootArg } from './runc.ts';
import type { RuntimeState } from './runc.ts';
import { clearUnreadable, reportUnreadable } from './unreadable.ts';

export type ReadExit = (id: ContainerId) => Promise<ExitFact | undefined>;

/** Facts of all containers and pause processes, also of handlers that are no longer configured. */
export async function observe(
  parts: DriverParts,
  readExit: ReadExit,
  fx: EffectContext,
): Promise<{ readonly containers: readonly RuntimeFacts[]; readonly pauses: readonly PauseFacts[] }> {
  const { layout } = parts;
  fx.note({ on: 'reading the state directories' });
  const roots = (await namesIn(layout.runtimesDir)).map((name) => join(layout.runtimesDir, name));
  const ownRoots = roots.filter((root) => !root.endsWith(PAUSE_SUFFIX));
  const pauseRoots = roots.filter((root) => root.endsWith(PAUSE_SUFFIX));
  // state directories named by the configuration are elsewhere
  for (const { root } of parts.table.known()) if (!ownRoots.includes(root)) ownRoots.push(root);
  const ids = new Set<ContainerId>();
  for (const directory of [layout.containersDir, layout.exitsDir, ...ownRoots]) {
    for (const name of await namesIn(directory)) {
      const id = parseContainerId(name);
      if (id !== undefined) ids.add(id);
    }
  }
  const scan: Scan = { readExit, roots: ownRoots, restores: new Set(await namesIn(layout.restoresDir)) };
  const containers = await inBatches([...ids], fx, (id) => factsOrNone(parts, scan, id));
  const pauses = await inBatches(await pauseIds(parts, pauseRoots), fx, (id) =>
    pauseOrNone(parts, pauseRoots, id),
  );
  return { containers, pauses };
}

interface Scan {
  readonly readExit: ReadExit;
  readonly roots: readonly string[];
  /** Names of the directories of restores. */
  readonly restores: ReadonlySet<string>;
}

/**
 * A container whose files cannot be read counts as one without files: recovery asks the kernel for its process (F29).
 * The others are not affected.
 */
async function factsOrNone(parts: DriverParts, scan: Scan, id: ContainerId): Promise<RuntimeFacts> {
  try {
    const facts = await factsOf(parts, scan, id);
    clearUnreadable(parts, 'container', id);
    return facts;
  } catch (error) {
    reportUnreadable(parts, 'container', id, error);
    return {
      id,
      process: 'gone',
      init: undefined,
      monitorAlive: false,
      exitFile: undefined,
      leftovers: true,
      checkpoint: false,
    };
  }
}

/** For a pause process whose files cannot be read, recovery asks the kernel by the pid in the journal. */
async function pauseOrNone(parts: DriverParts, roots: readonly string[], id: SandboxId): Promise<PauseFacts> {
  try {
    const facts = await pauseFactsOf(roots, id);
    clearUnreadable(parts, 'pause process', id);
    return facts;
  } catch (error) {
    reportUnreadable(parts, 'pause process', id, error);
    return { id, process: undefined, isUnreadable: true };
  }
}

/**
 * Whether init has executed the container's program although its FIFO is there: the daemon was killed between reading
 * the FIFO and removing it (shortcuts.ts). Before that init is a fork of the runtime.
 */
async function wasStarted(root: string, id: ContainerId, state: RuntimeState | undefined): Promise<boolean> {
  return state !== undefined && (await hasFifo(root, id)) && processExists(state) && !isForkedOnly(state);
}

async function factsOf(
  parts: DriverParts,
  { readExit, roots, restores }: Scan,
  id: ContainerId,
): Promise<RuntimeFacts> {
  const { layout } = parts;
  const root = await rootWith(roots, id);
  const state = root === undefined ? undefined : await readRuntimeState(root, id);
  // The start FIFO is read before the process: if it exists and init is alive afterwards, init was not started at
  // that moment.
  const isCreated =
    root !== undefined && (await awaitsStart(root, id)) && !(await wasStarted(root, id, state));
  const init = state !== undefined && processExists(state) ? toPortIdentity(state) : undefined;
  const isMonitorAlive = await anyMonitor(parts, root === undefined ? roots : [root], id);
  return {
    id,
    process: init === undefined ? 'gone' : isCreated ? 'created' : 'running',
    init,
    monitorAlive: isMonitorAlive,
    // read last: a container that exited meanwhile has its file by now, or the watch reports it
    exitFile: await readExit(id),
    leftovers: root !== undefined || (await exists(layout.containerDir(id))),
    checkpoint: restores.has(id) && (await exists(join(layout.restoreDir(id), FILES.images))),
  };
}

async function anyMonitor(parts: DriverParts, roots: readonly string[], id: ContainerId): Promise<boolean> {
  for (const root of roots) {
    const marks = { id, rootArg: rootArg(root) };
    if ((await monitorIdentity(parts.layout.monitorPidFile(id), marks, parts.clock)) !== undefined)
      return true;
  }
  return false;
}

async function rootWith(roots: readonly string[], id: string): Promise<string | undefined> {
  for (const root of roots) if (await hasRuntimeState(root, id)) return root;
  return undefined;
}

async function pauseIds(parts: DriverParts, roots: readonly string[]): Promise<readonly SandboxId[]> {
  const { layout } = parts;
  const ids = new Set<SandboxId>();
  for (const name of await namesIn(layout.sandboxesDir)) {
    const id = parseSandboxId(name);
    if (id !== undefined && (await exists(layout.pauseBundleDir(id)))) ids.add(id);
  }
  for (const root of roots) {
    for (const name of await namesIn(root)) {
      const id = parseSandboxId(name);
      if (id !== undefined) ids.add(id);
    }
  }
  return [...ids];
}

async function pauseFactsOf(roots: readonly string[], id: SandboxId): Promise<PauseFacts> {
  const root = await rootWith(roots, id);
  const state = root === undefined ? undefined : await readRuntimeState(root, id);
  const isRunning =
    root !== undefined && state !== undefined && processExists(state) && !(await awaitsStart(root, id));
  return { id, process: isRunning ? toPortIdentity(state) : undefined };
}

/** A bounded number at once: each does some ten small reads, which wait for libuv's thread pool, not for a disk. */
async function inBatches<I, O>(
  items: readonly I[],
  fx: EffectContext,
  work: (item: I) => Promise<O>,
): Promise<O[]> {
  const results: O[] = [];
  for (let at = 0; at < items.length; at += driverLimits.observedAtOnce) {
    if (fx.signal.aborted) fail('cancelled', 'observe containers: cancelled');
    results.push(...(await Promise.all(items.slice(at, at + driverLimits.observedAtOnce).map(work))));
  }
  return results;
}
