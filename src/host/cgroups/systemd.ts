/** Transient scopes of systemd, over D-Bus. slices.ts has the names. */
import { basename } from 'node:path';
import { readFile } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { fail, printable } from '../../base/fault.ts';
import { systemdLimits } from '../bounds.ts';
import { isProcessGone } from '../ffi/errno.ts';
import { runTool } from '../process/process-tool.ts';
import { scopeProperties, UNLIMITED_TASKS } from './scope-limits.ts';
import type { ScopeLimits, UnitProperty } from './scope-limits.ts';
import { isScope, sliceOf } from './slices.ts';
import { poll } from '../clock/wait.ts';
import type { WaitBound } from '../clock/wait.ts';
import type { CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { cgroupExists } from './cgroups.ts';

const POLLS = { firstMs: systemdLimits.pollFirstMs, lastMs: systemdLimits.pollLastMs } as const;

export interface Systemd {
  /**
   * Puts a process into a new scope, a child of its slice, and returns once the process is in it. Cgroups
   * below the scope are ours. Does nothing for a process that has ended. systemd removes the scope when its
   * last process has ended, also after a failure.
   * @param more `isHelper`: a program that serves containers, which a shutdown ends after their scopes, not with them
   */
  startScope(cgroup: string, pid: number, more?: ScopeOptions): Promise<void>;
  /** Changes these limits of a scope, until it ends. Does nothing where none is given. */
  limitScope(cgroup: string, limits: ScopeLimits): Promise<void>;
}

export interface ScopeOptions {
  readonly isHelper?: boolean;
  readonly limits?: ScopeLimits | undefined;
}

export interface SystemdOptions {
  readonly clock: ClockPort;
  /** Absolute path of busctl, which is part of systemd. */
  readonly busctl: string;
}

/** The system's manager. Makes no call before the first request. */
export function createSystemd(options: SystemdOptions): Systemd {
  return {
    startScope: (cgroup, pid, more = {}) => startScope(options, { cgroup, pid, ...more }),
    limitScope: (cgroup, limits) => limitScope(options, cgroup, limits),
  };
}

interface ScopeRequest extends ScopeOptions {
  readonly cgroup: string;
  readonly pid: number;
}

async function startScope(options: SystemdOptions, request: ScopeRequest): Promise<void> {
  const { cgroup, pid } = request;
  const unit = basename(cgroup);
  const attempted = `start scope ${unit} with process ${pid}`;
  const problem = await call(options, startScopeArgv(options.busctl, request), attempted, unit);
  if (problem !== undefined) {
    if ((await cgroupOf(pid)) === undefined) return;
    fail('outside', `${attempted}: ${problem}`, { subject: unit });
  }
  await untilInside(options.clock, unit, pid, attempted);
}

async function limitScope(options: SystemdOptions, cgroup: string, limits: ScopeLimits): Promise<void> {
  const properties = scopeProperties(limits);
  if (properties.length === 0) return;
  const unit = basename(cgroup);
  const attempted = `set ${properties.map(([name]) => name).join(', ')} of scope ${unit}`;
  const problem = await call(options, limitScopeArgv(options.busctl, unit, properties), attempted, unit);
  if (problem !== undefined) fail('outside', `${attempted}: ${problem}`, { subject: unit });
}

/** Calls the manager. Returns what it answers in place of success; throws `timedOut`. */
async function call(
  { clock }: SystemdOptions,
  argv: readonly string[],
  attempted: string,
  unit: string,
): Promise<string | undefined> {
  const answer = await runTool({ argv, clock, timeoutMs: systemdLimits.callMs });
  if (answer.timedOut)
    fail('timedOut', `${attempted}: timed out after ${systemdLimits.callMs} ms waiting for systemd`, {
      subject: unit,
    });
  if (answer.exitCode === 0) return undefined;
  const said = Buffer.from(answer.stderr).toString('utf8').trim().slice(0, systemdLimits.quotedChars);
  return printable(said) || `busctl: exit code ${answer.exitCode}`;
}

function methodOf(busctl: string, method: string, signature: string): string[] {
  return [
    busctl,
    '--system',
    '--no-pager',
    'call',
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
    method,
    signature,
  ];
}

/** The call of SetUnitProperties; `true`: until the unit ends. */
export function limitScopeArgv(busctl: string, unit: string, properties: readonly UnitProperty[]): string[] {
  const method = methodOf(busctl, 'SetUnitProperties', 'sba(sv)');
  return [...method, unit, 'true', String(properties.length), ...properties.flat()];
}

/**
 * The call of StartTransientUnit (org.freedesktop.systemd1(5)). Delegate: systemd enables all controllers for
 * the scope and leaves the cgroups below it alone (systemd's CGROUP_DELEGATION.md). DefaultDependencies would end the
 * scope at a shutdown beside all others (systemd.scope(5)).
 */
export function startScopeArgv(
  busctl: string,
  { cgroup, pid, isHelper = false, limits }: ScopeRequest,
): string[] {
  const properties: readonly (readonly string[])[] = [
    UNLIMITED_TASKS,
    ...(limits === undefined ? [] : scopeProperties(limits)),
    ['Description', 's', 'processes of a container of troupe'],
    ...(isHelper ? [['DefaultDependencies', 'b', 'false']] : []),
    ['Slice', 's', sliceOf(cgroup)],
    ['PIDs', 'au', '1', String(pid)],
    ['Delegate', 'b', 'true'],
    ['CollectMode', 's', 'inactive-or-failed'],
  ];
  const method = methodOf(busctl, 'StartTransientUnit', 'ssa(sv)a(sa(sv))');
  return [...method, basename(cgroup), 'fail', String(properties.length), ...properties.flat(), '0'];
}

/** The answer names a job; the process is moved when that job is done, a moment later. */
async function untilInside(clock: ClockPort, unit: string, pid: number, attempted: string): Promise<void> {
  const isInside = await poll({ clock, timeoutMs: systemdLimits.enterMs, ...POLLS, attempted }, async () => {
    const cgroup = await cgroupOf(pid);
    return cgroup === undefined || cgroup.split('\n').some((line) => line.endsWith(`/${unit}`)) || undefined;
  });
  if (isInside === undefined)
    fail(
      'timedOut',
      `${attempted}: timed out after ${systemdLimits.enterMs} ms waiting for the process to enter it`,
      { subject: unit },
    );
}

/**
 * Waits until systemd has removed a scope whose processes have ended. Returns anyway after the bound or
 * `systemdLimits.removeMs`, and at once for a cgroup that is no scope or is in no unified hierarchy. Call it before the
 * cgroup is removed: systemd ends the unit when it reads `populated 0` from the scope's cgroup.events. The kernel sends
 * that event from a work queue, at most once in 10 ms, and drops it when the cgroup is removed first
 * (kernel/cgroup/cgroup.c, fs/kernfs/file.c): the unit would stay active until the next boot.
 * @throws the clock's `cancelled` when the signal aborts
 */
export async function untilScopeRemoved(
  bound: WaitBound,
  cgroups: CgroupLayout,
  cgroup: string,
): Promise<void> {
  const hierarchies = cgroups.hierarchies.filter(({ version }) => version === 2);
  if (!isScope(cgroup) || hierarchies.length === 0) return;
  const unified = { ...cgroups, hierarchies };
  await poll(
    {
      ...bound,
      ...POLLS,
      timeoutMs: Math.min(bound.timeoutMs, systemdLimits.removeMs),
      attempted: `wait for systemd to remove ${basename(cgroup)}`,
    },
    async () => !(await cgroupExists(unified, cgroup)) || undefined,
  );
}

/** The process's lines of /proc/PID/cgroup; undefined when it has ended. */
async function cgroupOf(pid: number): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/cgroup`, 'utf8');
  } catch (error) {
    if (isProcessGone(error)) return undefined;
    throw error;
  }
}
