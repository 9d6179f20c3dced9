/**
 * Signals: to init by its pidfd, to a whole container by its cgroup, to monitors and runtime calls by their process
 * trees.
 */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExitFact, ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxOrContainerId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { isForkedOnlyLater, killProcess, processExists } from '../../../host/process/process-identity.ts';
import type { HostIdentity, ProcessMark } from '../../../host/process/process-identity.ts';
import { killTree, signalProcess } from '../../../host/process/process-kill.ts';
import { watchProcess } from '../../../host/process/watch.ts';
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
 * Sends one signal to init; does nothing if init has exited. Starts no process.
 * `start` of an OCI runtime returns before init has become the container's program: until its execve, init is the
 * runtime. A stop signal in between ends runc's init with exit code 2 (Go's runtime, as PID 1, for which the kernel
 * ignores the default action) and is lost on crun's. So other signals than KILL wait for the execve, for at most
 * `driverLimits.execveMs`, since a process restored from a checkpoint never calls it.
 */
export async function kill(
  parts: DriverParts,
  input: ContainerInput & { readonly signal: string; readonly init: ProcessIdentity },
  fx: EffectContext,
): Promise<void> {
  const attempted = `signal container ${input.id}`;
  const number = signalNumber(input.signal);
  if (number === undefined) {
    fail('invalidRequest', `${attempted}: unknown signal ${JSON.stringify(input.signal)}`, {
      subject: input.id,
    });
  }
  const init = toHostIdentity(input.init);
  if (init === undefined) return;
  if (number !== SIGKILL) {
    await untilExecuted(parts, init, attempted, fx.signal);
  } else {
    await recordOomKills(parts, input.id, init);
  }
  await signalProcess(init, number, parts.clock);
  // A frozen process would act on the signal only after the KILL that ends its grace period, so thaw it (CRI-O
  // resumes a paused container, too). The container's actor sends no signal while a checkpoint has frozen it.
  if (processExists(init)) await thawContainer(parts, input.id, number === SIGKILL ? 'thawAll' : 'thaw');
}

/** Bounded, also where the pool has no free thread: the signal is sent all the same then. */
async function untilExecuted(
  { clock }: DriverParts,
  init: HostIdentity,
  attempted: string,
  signal: AbortSignal,
): Promise<void> {
  const bound = { clock, timeoutMs: driverLimits.execveMs, signal };
  const { execvePollFirstMs: firstMs, execvePollLastMs: lastMs } = driverLimits;
  const executed = poll({ ...bound, firstMs, lastMs, attempted }, async () =>
    (await isForkedOnlyLater(init)) ? undefined : true,
  );
  if ((await within(bound, executed)) === 'cancelled')
    fail('cancelled', `${attempted}: the result is no longer wanted`);
}

/** Bounded: a hanging disk or a busy thread pool must not delay the KILL (F25). */
async function recordOomKills(parts: DriverParts, id: ContainerId, init: HostIdentity): Promise<void> {
  await within({ clock: parts.clock, timeoutMs: driverLimits.oomNoteMs }, noteOomKills(parts, id, init));
}

/**
 * Kills whatever works for a container that has no process yet, since it is to be restored before its start.
 * Undefined if the monitor has written an exit file all the same.
 */
export async function killBeforeRestore(
  parts: DriverParts,
  input: ContainerInput,
): Promise<ExitFact | undefined> {
  const { layout, table, clock } = parts;
  await killWorkers(parts, table.resolve(input.handler), input.id, await cgroupOf(parts, input.id));
  if (await exists(layout.exitFile(input.id))) return undefined;
  return {
    exitCode: KILLED_EXIT_CODE,
    finishedAtNs: clock.nowNs(),
    oomKilled: false,
    reason: 'Error',
    message: 'killed before it was restored',
    observedBy: 'process',
  };
}

/** Sends SIGKILL to init and to every process in the container's cgroup. */
export async function killAll(
  parts: DriverParts,
  input: ContainerInput & { readonly init: ProcessIdentity | undefined },
): Promise<void> {
  const init = input.init === undefined ? undefined : toHostIdentity(input.init);
  if (init !== undefined) {
    await recordOomKills(parts, input.id, init);
    killProcess(init, SIGKILL);
    // init becomes a zombie when all other processes of its PID namespace are gone, and then a list of the cgroup is
    // enough: on v1 it would be frozen, killed and thawed
    if (input.spec.security.namespaces.pid === 'container') await untilEnded(parts, init);
  }
  const cgroup = await cgroupOf(parts, input.id);
  if (cgroup !== undefined) await signalCgroup(parts, cgroup);
}

/** Waits until the process has ended, at most `driverLimits.initEndMs`. */
async function untilEnded({ clock }: DriverParts, init: HostIdentity): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const watch = watchProcess(init, () => ended.resolve());
  await within({ clock, timeoutMs: driverLimits.initEndMs }, ended.promise);
  watch.close();
}

/**
 * Kills every monitor and runtime call of this container with their process trees, then what is left in its cgroup.
 * Throws `timedOut` with the pids that have not exited (F45).
 */
export async function killWorkers(
  parts: DriverParts,
  handler: Handler,
  id: SandboxOrContainerId,
  cgroup: string | undefined,
): Promise<void> {
  const left: ProcessMark[] = [];
  let emptyScans = 0;
  let zombies: readonly number[] = [];
  for (let round = 0; round < driverLimits.workerScans && emptyScans < 2; round += 1) {
    const scan = await scanFor(marksOf(handler, id), parts.clock, zombies);
    ({ zombies } = scan);
    // A monitor forks twice at its start. A process that forks and exits while /proc is read may be missed together
    // with its child: only two empty scans in a row count.
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

/** Sends SIGKILL to one process and waits for its exit. */
export async function endProcess(
  parts: DriverParts,
  id: SandboxOrContainerId,
  identity: HostIdentity,
): Promise<void> {
  const gone = await poll(
    {
      clock: parts.clock,
      timeoutMs: driverLimits.killMs,
      firstMs: driverLimits.killPollFirstMs,
      lastMs: driverLimits.killPollLastMs,
      attempted: `end process ${identity.pid} of container ${id}`,
    },
    () => {
      // again: it may not have been identified before
      killProcess(identity, SIGKILL);
      return processExists(identity) ? undefined : true;
    },
  );
  if (gone === undefined) refuseSurvivors(id, [identity.pid]);
}
