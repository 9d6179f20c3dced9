/**
 * The driver of containers in shims of containerd's runtime v2 (handlers of type `vm`): one shim per pod, with the
 * sandbox as its first task. It implements the runtime port's methods, so recovery, actors and the CRI need not
 * distinguish it.
 */
import { mkdir } from 'node:fs/promises';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerInput, PauseInput } from '../../../ports/runtime.ts';
import type { GuestUsage } from '../../../ports/stats.ts';
import type { ClientStreams, StreamExecInput, TerminalSize } from '../../../ports/streams.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { parseContainerId } from '../../../base/ids.ts';
import { toFault } from '../../../base/fault.ts';
import { driverLimits, shimLimits } from '../bounds.ts';
import { Task } from '../../../gen/shim/task_pb.ts';
import type { Exits } from '../container/exits.ts';
import type { KindSteps } from '../container/kinds.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { namesIn } from '../container/state.ts';
import { endEach } from '../exec/orphans.ts';
import {
  createTask,
  deleteTask,
  destroyTask,
  killTask,
  killTaskAll,
  startTask,
  updateTask,
} from './containers.ts';
import type { ShimParts } from './containers.ts';
import { ShimEvents } from './events.ts';
import { endOrphanTaskExecs, findOrphanTaskExecs } from './exec.ts';
import type { OrphanTaskExecs } from './exec.ts';
import { execStreamTask } from './exec-stream.ts';
import { execSyncTask } from './exec-sync.ts';
import { ShimExits } from './exits.ts';
import { withShims } from './observe.ts';
import type { Observed } from './observe.ts';
import { destroySandboxTask, startSandboxTask } from './sandbox-task.ts';
import { Shims } from './shims.ts';
import { taskUsage } from './stats.ts';
import { writeStdioProgram } from './stdio-program.ts';

export interface ShimDriver extends KindSteps {
  /**
   * Called at the daemon's start. Opens the events socket and finds the execs of an earlier daemon, which are killed
   * in the background until `closing` aborts. Never rejects.
   */
  open(closing: AbortSignal): Promise<void>;
  /** Completes facts read from files with the shims' answers. */
  observe(observed: Observed): Promise<Observed>;
  execStream(
    input: StreamExecInput,
    client: ClientStreams,
    fx: EffectContext,
  ): Promise<{ readonly exitCode: number }>;
  /** Usage as the shim reports it; undefined if the container has exited. */
  usage(id: ContainerId): Promise<GuestUsage | undefined>;
  resize(input: ContainerInput, size: TerminalSize): Promise<void>;
  closeStdin(input: ContainerInput): void;
  /** Ends watches and connections; shims go on. */
  close(): void;
}

/** Writes the program once: several pods may start at the same time, and the later ones wait for the first. */
function writtenOnce(directory: string): () => Promise<string> {
  let program: Promise<string> | undefined;
  return async () => {
    program ??= writeStdioProgram(directory);
    try {
      return await program;
    } catch (error) {
      program = undefined;
      throw error;
    }
  };
}

export function createShimDriver(parts: DriverParts, exits: Exits): ShimDriver {
  const shims = new Shims(parts);
  const shimExits = new ShimExits(parts, shims, exits);
  const events = new ShimEvents(parts);
  const shim: ShimParts = { parts, shims, stdioProgram: writtenOnce(parts.layout.standInsDir) };
  const of = (input: { readonly handler: string }) => parts.table.resolve(input.handler);
  const aside = { timeoutMs: shimLimits.callMs };
  return {
    open: (closing) => open(shim, events, closing),
    create: async (input, fx) => {
      await mkdir(of(input).root, { recursive: true, mode: 0o700 });
      return createTask(shim, of(input), input, fx);
    },
    start: (input, fx) => startTask(shim, of(input), input, fx),
    update: (input, fx) => updateTask(shim, of(input), input, fx),
    kill: (input, fx) => killTask(shim, input, fx),
    killAll: async (input, fx) => {
      if (await killTaskAll(shim, input, fx)) await shimExits.killedUnstarted(input.id);
    },
    delete: (input, fx) => deleteTask(shim, input, fx),
    destroy: (input, fx) => {
      shimExits.unwatch(input.id);
      exits.unwatch(input.id);
      return destroyTask(shim, of(input), input, fx);
    },
    watch: (input) => shimExits.watch(input.id, of(input)),
    execSync: (input, fx) => execSyncTask(shim, input, fx),
    startPause: async (input, fx) => {
      await events.open();
      return startSandboxTask(parts, shims, sandboxHandler(parts, input), input, fx);
    },
    destroyPause: (input, fx) => destroySandboxTask(parts, shims, sandboxHandler(parts, input), input, fx),
    observe: (observed) =>
      withShims({ parts, shims, exits: shimExits, readExit: (id) => exits.read(id) }, observed),
    execStream: (input, client, fx) => execStreamTask(shim, input, client, fx),
    usage: (id) => taskUsage(shim, id),
    resize: async ({ id }, { columns, rows }) => {
      const found = await shimOf(shim, id);
      await found?.callUnlessGone(Task.method.resizePty, { id, width: columns, height: rows }, aside);
    },
    closeStdin: ({ id }) => {
      const close = async (): Promise<void> => {
        const found = await shimOf(shim, id);
        await found?.callUnlessGone(Task.method.closeIO, { id, stdin: true }, aside);
      };
      close().catch((thrown: unknown) =>
        parts.log.warn({ id, fault: toFault(thrown) }, 'close stdin of container in its shim failed'),
      );
    },
    close: () => {
      shimExits.close();
      events.close();
      shims.close();
    },
  };
}

function sandboxHandler(parts: DriverParts, { sandbox }: PauseInput) {
  return parts.table.resolve(sandbox.runtime?.name ?? sandbox.handler);
}

async function shimOf({ parts, shims }: ShimParts, id: ContainerId) {
  const note = await readNote(parts.layout, id);
  return note === undefined ? undefined : shims.find(note.sandboxId);
}

/** Does nothing if no handler is or was of this kind: then neither socket nor scan is needed. */
async function open(shim: ShimParts, events: ShimEvents, closing: AbortSignal): Promise<void> {
  const { layout, log, table } = shim.parts;
  if (!table.known().some(({ kind }) => kind === 'vm')) return;
  const failed =
    (fields: { readonly id?: ContainerId }) =>
    (thrown: unknown): void =>
      log.warn({ ...fields, fault: toFault(thrown) }, 'recover shims of an earlier daemon failed');
  await events.open().catch(failed({}));
  const ids = (await namesIn(layout.containersDir)).map(parseContainerId).filter((id) => id !== undefined);
  const found: OrphanTaskExecs[] = [];
  for (let at = 0; at < ids.length; at += driverLimits.observedAtOnce) {
    const some = ids
      .slice(at, at + driverLimits.observedAtOnce)
      .map((id) => findOrphanTaskExecs(shim, id).catch(failed({ id })));
    for (const one of await Promise.all(some))
      if (one !== undefined && one.execIds.length > 0) found.push(one);
  }
  // in the background: a shim that does not answer delays neither the start nor most other shims
  void (shim.parts.heldSessions ?? Promise.resolve()).then(() =>
    endEach(found, closing, (orphans) => endOrphanTaskExecs(shim, orphans).catch(failed({ id: orphans.id }))),
  );
}
