/**
 * The runtime port for runc with conmon, and for shims. Each method is one effect: idempotent by the container's id,
 * bounded by its EffectContext, and without policy. State is read from files and /proc each time and never kept in
 * memory, so that a restarted daemon sees the same.
 */
import type { EffectContext } from '../../ports/effect.ts';
import type { ContainerInput, RuntimePort } from '../../ports/runtime.ts';
import type { GuestUsage } from '../../ports/stats.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { KeyedMutex } from '../../base/bounded.ts';
import { FaultError, fail, toFault } from '../../base/fault.ts';
import { monitorLimits } from './bounds.ts';
import { onUserPath } from '../../host/mounts/answering.ts';
import { startByFifo } from './container/shortcuts.ts';
import { WarmCgroupMoves } from '../../host/tuning/warm-cgroup-moves.ts';
import { readMountPlaces } from '../../host/mounts/mount-places.ts';
import { reapOrphans } from '../../host/process/process-reaper.ts';
import { createCheckpointDriver } from './checkpoint/driver.ts';
import type { CheckpointDriver, CheckpointOptions } from './checkpoint/driver.ts';
import { reopenMonitorLog, writesTo } from './monitor/control.ts';
import { logPathOf } from './monitor/conmon.ts';
import { commandLine } from '../../host/process/command-line.ts';
import { monitorIdentity } from './monitor/monitor-process.ts';
import { hasLog, prepareNewLog, settleNewLog } from './bundle/bundle-log.ts';
import { create, writeBundle } from './container/create.ts';
import { RemovedCgroups } from './container/removed-cgroups.ts';
import { deleteState, destroy, forgetExit } from './container/destroy.ts';
import { Exits } from './container/exits.ts';
import { stepsByKind } from './container/kinds.ts';
import type { KindSteps } from './container/kinds.ts';
import { killBeforeRestore, kill, killAll } from './container/kill.ts';
import { isProcessRunning, marksOf, ownGlobals, runRuntime } from './container/parts.ts';
import type { DriverParts, RuntimeDriverOptions } from './container/parts.ts';
import { destroyPause, startPause } from './container/pause.ts';
import { endOrphanExecs, findOrphanExecs } from './exec/orphans.ts';
import { update } from './container/update.ts';
import { execSync } from './exec/exec.ts';
import { noteStarted } from './container/foreign-state.ts';
import { HandlerProbes } from './handler-probes.ts';
import { readHandlerRecords, writeHandlerRecords } from './container/handler-records.ts';
import { HandlerTable } from './handlers/handlers.ts';
import type { HandlerConfig } from './handlers/handlers.ts';
import { observe } from './container/observe.ts';
import { startArgv } from './container/runc.ts';
import type { SpecHandler } from './spec/input.ts';
import { createShimDriver } from './shim/driver.ts';
import { readShimRecord } from './shim/record.ts';
import type { ShimDriver } from './shim/driver.ts';
import { createStreamsDriver } from './stream-driver.ts';
import type { StreamsDriver } from './stream-driver.ts';

export interface RuntimeDriver extends RuntimePort {
  /**
   * Makes this process the child subreaper, probes the handlers, starts watching the exits directory, and finds the
   * execs of an earlier daemon, which are killed in the background. Afterwards `handlers()` returns the results. Call
   * it once, before the first exec. Never rejects.
   */
  open(): Promise<void>;
  /** Probes the handlers again. Never rejects. */
  probe(): Promise<void>;
  /**
   * Replaces the handlers and probes them; pods of removed handlers can still be stopped and removed. Rejects with
   * `invalidRequest` and changes nothing, as `HandlerTable.replace` does.
   */
  reload(handlers: readonly HandlerConfig[], defaultHandler: string): Promise<void>;
  /** What the spec generator needs to know of a handler. Throws `notFound`. */
  specHandler(name: string): SpecHandler;
  /** Usage of a container in a virtual machine; undefined if it has exited. */
  guestUsage(id: ContainerId): Promise<GuestUsage | undefined>;
  /** The streams of clients to these containers. Call it once, before the first stream. */
  streams(): Promise<StreamsDriver>;
  /** Checkpoints of these containers. Call it once. */
  checkpoints(options: Omit<CheckpointOptions, 'parts'>): CheckpointDriver;
  /** Ends what only the node's daemon may do: watches of exits, probes. Execs and streams of clients go on. */
  rest(): void;
  /** Ends watches and timers; containers and monitors go on. */
  close(): void;
}

/** Creates the driver. Throws `invalidRequest` when the default handler is not among the handlers. */
export function createRuntimeDriver(options: RuntimeDriverOptions): RuntimeDriver {
  const { layout } = options;
  const table = new HandlerTable(options.handlers, options.defaultHandler, (name) =>
    layout.runtimeRoot(name),
  );
  const moves = new WarmCgroupMoves(options.cgroups, options.clock);
  const parts: DriverParts = {
    ...options,
    table,
    moves,
    removedCgroups: new RemovedCgroups(),
    whyNotShort: (handler) => probes.whyNotShort(handler),
  };
  const exits = new Exits(parts);
  const reopens = new KeyedMutex('log of container', monitorLimits.reopenWaiting);
  const shims = createShimDriver(parts, exits);
  const probes = new HandlerProbes(parts);
  const closing = new AbortController();
  return {
    async open(): Promise<void> {
      // the child subreaper gets the process of an exec when the runtime exits, and monitors, too
      reapOrphans();
      await recallHandlers(parts);
      await openEach(parts, { probes, exits, shims, closing: closing.signal });
    },
    probe: () => probes.probe(),
    reload: async (handlers, defaultHandler) => {
      table.replace(handlers, defaultHandler);
      await keepHandlers(parts);
      await probes.probe();
    },
    specHandler: (name) => table.specHandler(name),
    guestUsage: (id) => shims.usage(id),
    streams: () => createStreamsDriver(parts, shims),
    checkpoints: (more) => createCheckpointDriver({ ...more, parts }),
    rest: () => {
      closing.abort();
      probes.close();
      exits.close();
    },
    close: () => {
      closing.abort();
      probes.close();
      exits.close();
      shims.close();
    },
    handlers: () => table.statuses(),
    writeBundle: (input, fx) => moves.during(() => writeBundle(parts, input, fx)),
    ...stepsByKind({ ...parts, hasShim: hasShimIn(layout) }, processSteps(parts, exits), shims),
    readExit: (input) => exits.read(input.id),
    forgetExit: (input) => forgetExit(parts, input.id),
    onExit: (listener) => exits.listen(listener),
    // one at a time: each checks whether an earlier call has already reopened the log
    reopenLog: (input, fx) => reopens.with(input.id, () => reopenLog(parts, input, fx), fx.signal),
    isAlive: isProcessRunning,
    observe: async (fx) => shims.observe(await observe(parts, (id) => exits.read(id), fx)),
  };
}

function hasShimIn(layout: DriverParts['layout']): (id: SandboxId) => Promise<boolean> {
  return async (id) => (await readShimRecord(layout, id)) !== undefined;
}

/** The steps of containers whose processes run on this machine, by runc's command line and a monitor. */
function processSteps(parts: DriverParts, exits: Exits): KindSteps {
  const { moves } = parts;
  return {
    create: (input, fx) => moves.during((ready) => create(parts, input, fx, ready)),
    start: (input, fx) => start(parts, input, fx),
    update: (input, fx) => update(parts, input, fx),
    kill: (input, fx) => kill(parts, input, fx),
    killAll: (input) =>
      input.init === undefined && input.spec.restore !== undefined
        ? endRestore(parts, exits, input)
        : killAll(parts, input),
    delete: (input, fx) => deleteState(parts, input, fx),
    destroy: (input, fx) => {
      // its exit needs no report any more
      exits.unwatch(input.id);
      return destroy(parts, input, fx);
    },
    watch: (input) => exits.watch(input),
    startPause: (input, fx) => startPause(parts, input, fx),
    destroyPause: (input, fx) => destroyPause(parts, input, fx),
    execSync: (input, fx) => moves.during(() => execSync(parts, input, fx)),
  };
}

interface Opened {
  readonly probes: HandlerProbes;
  readonly exits: Exits;
  readonly shims: Pick<ShimDriver, 'open'>;
  readonly closing: AbortSignal;
}

function openEach(parts: DriverParts, { probes, exits, shims, closing }: Opened): Promise<unknown> {
  return Promise.all([
    orWithout(parts, 'probes of runtime handlers', () => probes.open()),
    orWithout(parts, 'watch of exits', () => exits.open()),
    orWithout(parts, 'execs of an earlier run', async () => {
      const orphans = await findOrphanExecs(parts);
      // those of a daemon that holds sessions end with them, and what is left of them then is an orphan's
      void (parts.heldSessions ?? Promise.resolve()).then(() => endOrphanExecs(parts, orphans, closing));
    }),
    orWithout(parts, 'shims of an earlier run', () => shims.open(closing)),
  ]);
}

/** Reports a failure of one part without failing the start: the part is retried later, or does not need it. */
async function orWithout(
  { conditions, log }: DriverParts,
  part: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
    conditions?.clear('PartsStarted', part);
  } catch (error) {
    if (conditions === undefined) log.error({ part, fault: toFault(error) }, 'start of a part failed');
    else conditions.report({ type: 'PartsStarted', subject: part, reason: toFault(error).message });
  }
}

/** Adds the handlers of earlier configurations, for their pods. An unreadable record affects only those pods. */
async function recallHandlers(parts: DriverParts): Promise<void> {
  const { layout, table, log } = parts;
  const onUnread = (file: string, error: unknown): void =>
    log.warn({ file, fault: toFault(error) }, 'read record of a handler failed');
  await orWithout(parts, 'handlers of an earlier configuration', async () => {
    for (const record of await readHandlerRecords(layout.handlersDir, onUnread)) table.retire(record);
  });
  await keepHandlers(parts);
}

/** Records the handlers for a later start. */
function keepHandlers(parts: DriverParts): Promise<void> {
  return orWithout(parts, 'record of handlers', () =>
    writeHandlerRecords(parts.layout.handlersDir, parts.table.all()),
  );
}

/** Kills a restore before init's start and reports the exit itself, since no exit file will be written. */
async function endRestore(parts: DriverParts, exits: Exits, input: ContainerInput): Promise<void> {
  const exit = await killBeforeRestore(parts, input);
  if (exit !== undefined) exits.report(input.id, exit);
}

async function start(parts: DriverParts, input: ContainerInput, fx: EffectContext): Promise<void> {
  const handler = parts.table.resolve(input.handler);
  if (await startByFifo(parts, handler, input.id, fx)) return;
  const attempted = `start container ${input.id}`;
  const stage = `${handler.name} start`;
  const argv = startArgv({ path: handler.path, globals: ownGlobals(handler), id: input.id });
  const answer = await runRuntime(parts, { argv, attempted, stage, subject: input.id, fx });
  if (!answer.ok)
    fail('outside', `${attempted}: ${stage}: ${answer.problem}`, { subject: input.id, quotesOutput: true });
  await noteStarted(handler.root, input.id);
}

async function reopenLog(parts: DriverParts, input: ContainerInput, fx: EffectContext): Promise<void> {
  const { layout, clock } = parts;
  const { id } = input;
  const marks = marksOf(parts.table.resolve(input.handler), id);
  const monitor = await monitorIdentity(layout.monitorPidFile(id), marks, parts.clock);
  if (monitor === undefined)
    return fail('wrongState', `reopen log of container ${id}: the monitor has exited`, { subject: id });
  const logPath = logPathOf(commandLine(monitor.pid));
  if (logPath === '') return undefined;
  const attempted = `reopen log of container ${id} at ${logPath}`;
  const onLog = async <T>(work: () => Promise<T>): Promise<T> =>
    onUserPath({ path: logPath, attempted, mounts: await readMountPlaces(), clock, fx }, () =>
      work().catch((thrown: unknown) => {
        throw new FaultError(toFault(thrown, attempted));
      }),
    );
  const before = await onLog(async () => {
    if (await writesTo(monitor, logPath)) return 'opened';
    const found = (await hasLog(logPath)) ? 'another' : 'none';
    await prepareNewLog(logPath);
    return found;
  });
  if (before === 'opened') return undefined;
  fx.note({ on: 'the log to be opened anew', pid: monitor.pid });
  // no abort signal: the next call must see the result of this one, even if this caller is gone
  return reopenMonitorLog({
    id,
    fifo: layout.controlFifo(id),
    monitor,
    logPath,
    clock,
    timeoutMs: fx.timeoutMs,
  }).catch(async (thrown: unknown) => {
    // without a file there, the kubelet would move the rotated log back and overwrite the container's last output
    const hasEnded = thrown instanceof FaultError && thrown.fault.kind === 'wrongState' && before === 'none';
    if (!hasEnded || !(await onLog(() => settleNewLog(logPath)))) throw thrown;
  });
}
