/** Signals: to init by its pidfd, to all of a container by its cgroup, to monitors and runtime calls by their trees. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExitFact, ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { isForkedOnly, killProcess, processExists } from '../../../host/process/process-identity.ts';
import type { ProcessIdentity as HostIdentity } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { poll, within } from '../../../host/clock/wait.ts';
import { KILLED_EXIT_CODE } from '../monitor/exit-file.ts';
import { scanFor } from '../monitor/monitor-process.ts';
import {
  cgroupOf,
  emptyCgroup,
  noteOomKills,
  refuseSurvivors,
  signalCgroup,
  thawContainer,
} from './cgroup.ts';
import { marksOf, toHostIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { exists } from './state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { signalNumber } from '../spec/signals.ts';

const SIGKILL = 9;

/**
 * One signal to init; nothing happens when it is gone. No process is started for it.
 * `start` of an OCI runtime returns when init is let go, not when it has become the container's program: until its
 * execve init is the runtime. A stop signal that comes in between ends runc's init with the exit code 2 (Go's runtime,
 * as PID 1 whose default action the kernel ignores) and is lost on crun's. So it waits for the execve, bounded: a
 * process that was restored from a checkpoint has made none.
 */
export async function kill(
  parts: DriverParts,
  input: ContainerInput & { readonly signal: string; readonly init: ProcessIdentity },
  fx: EffectContext,
): Promise<void> {
  const attempted = `signal container ${input.id}`;
  const number = signalNumber(input.signal);
  if (number === undefined) {
    fail('invalidRequest', `${attempted}: there is no signal ${JSON.stringify(input.signal)}`, {
      subject: input.id,
    });
  }
  const init = toHostIdentity(input.init);
  if (init === undefined) return;
  if (number !== SIGKILL) {
    const bound = {
      clock: parts.clock,
      timeoutMs: driverLimits.execveMs,
      signal: fx.signal,
      firstMs: driverLimits.execveLookFirstMs,
      lastMs: driverLimits.execveLookLastMs,
      attempted,
    };
    await poll(bound, () => (isForkedOnly(init) ? undefined : true));
  } else {
    await notedSoon(parts, input.id, init);
  }
  killProcess(init, number);
  // one that is frozen would hear of it only after the KILL that ends its grace (CRI-O resumes a paused container, too); a
  // checkpoint lets its own go when it has read them all, which are of one moment until then
  if (!parts.heldStill.has(input.id) && processExists(init)) await thawContainer(parts, input.id);
}

/** What can't be noted, on a disk that hangs or behind others in the pool, must not keep a process alive (F25). */
async function notedSoon(parts: DriverParts, id: ContainerId, init: HostIdentity): Promise<void> {
  await within({ clock: parts.clock, timeoutMs: driverLimits.oomNoteMs }, noteOomKills(parts, id, init));
}

/**
 * Ends whatever works for a container that has no process, as one that is to be restored before its start. Undefined when
 * the monitor has told its exit after all.
 */
export async function endUnborn(parts: DriverParts, input: ContainerInput): Promise<ExitFact | undefined> {
  const { layout, table, clock } = parts;
  await killWorkers(parts, table.resolve(input.handler), input.id, await cgroupOf(parts, input.id));
  if (await exists(layout.exitFile(input.id))) return undefined;
  return {
    exitCode: KILLED_EXIT_CODE,
    finishedAtNs: clock.nowNs(),
    oomKilled: false,
    reason: 'Error',
    message: 'it was ended before it was restored',
    observedBy: 'process',
  };
}

/** SIGKILL to init and to everything in the container's cgroup. */
export async function killAll(
  parts: DriverParts,
  input: ContainerInput & { readonly init: ProcessIdentity | undefined },
): Promise<void> {
  const init = input.init === undefined ? undefined : toHostIdentity(input.init);
  if (init !== undefined) {
    await notedSoon(parts, input.id, init);
    killProcess(init, SIGKILL);
  }
  const cgroup = await cgroupOf(parts, input.id);
  if (cgroup !== undefined) await signalCgroup(parts, cgroup);
}

/**
 * Kills every monitor and runtime call of this container with their trees, then what is left in its cgroup.
 * Throws `timedOut` with the pids when some don't end (F45).
 */
export async function killWorkers(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId | SandboxId,
  cgroup: string | undefined,
): Promise<void> {
  const left: HostIdentity[] = [];
  let emptyScans = 0;
  let zombies: ReadonlySet<number> = new Set();
  for (let round = 0; round < driverLimits.workerScans && emptyScans < 2; round += 1) {
    const scan = await scanFor(marksOf(handler, id), zombies);
    ({ zombies } = scan);
    // a monitor forks twice at its start, and who forks and ends while /proc is read is seen neither as the old nor as the new one
    if (scan.found.length > 0) emptyScans = 0;
    else if (scan.isWhole) emptyScans += 1;
    for (const survivors of await Promise.all(scan.found.map((worker) => killTree(worker, parts.clock))))
      left.push(...survivors);
    if (left.length > 0) break;
  }
  refuseSurvivors(
    id,
    left.filter(processExists).map((survivor) => survivor.pid),
  );
  if (cgroup !== undefined) await emptyCgroup(parts, id, cgroup, driverLimits.killMs);
}

/** SIGKILL to one process and the wait for its end. */
export async function endProcess(
  parts: DriverParts,
  id: ContainerId | SandboxId,
  identity: HostIdentity,
): Promise<void> {
  killProcess(identity, SIGKILL);
  const gone = await poll(
    {
      clock: parts.clock,
      timeoutMs: driverLimits.killMs,
      firstMs: driverLimits.killLookFirstMs,
      lastMs: driverLimits.killLookLastMs,
      attempted: `end process ${identity.pid} of container ${id}`,
    },
    () => (processExists(identity) ? undefined : true),
  );
  if (gone === undefined) refuseSurvivors(id, [identity.pid]);
}
