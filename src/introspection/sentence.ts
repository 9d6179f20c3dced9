/**
 * The sentence that answers why an actor is in its state: the first line of `troupe why` and of the page's detail.
 * Pure. It quotes faults, which every view shows, and nothing that a container printed (S91).
 */
import type { ContainerView, SandboxView, View } from '../actors/directory/views.ts';
import { QUARANTINED } from '../actors/directory/states.ts';
import type { ActorMessage } from './describe.ts';
import type { Change } from './recorder.ts';

type Wait = NonNullable<ActorMessage['waits']>[number];

export interface Asked {
  readonly view: View;
  /** Its message, with waits. */
  readonly actor: ActorMessage;
  readonly history: readonly Change[];
  /** A sandbox's containers, a container's sandbox. */
  readonly related: readonly View[];
  readonly nowNs: bigint;
}

export function sentenceOf(asked: Asked): string {
  const { view, actor } = asked;
  if ((actor.removedNs ?? 0n) !== 0n) return `Removed. ${whyRemoved(asked)}`;
  if (view.path === QUARANTINED)
    return 'Quarantined: its actor crashed repeatedly, which is an error of troupe. Stop and remove still work.';
  const pending = actor.debts ?? [];
  if (pending.length > 0)
    return `Cleanup pending: ${pending.join(', ')}. It is tried again.${because(view, ' The last attempt failed: ')}`;
  const [wait] = (actor.waits ?? []).toSorted(oldestFirst);
  if (wait !== undefined) return waitSentence(asked, wait);
  if (view.kind === 'container') return containerSentence(asked, view);
  if (view.fault !== undefined) return `Failed: ${view.fault.message}`;
  return view.kind === 'sandbox' ? sandboxSentence(asked, view) : `Between two steps: ${view.path}.`;
}

function whyRemoved({ view, history }: Asked): string {
  if (view.kind === 'container' && view.exit !== undefined) return exitSentence(view, history);
  return view.fault === undefined ? 'No failure was recorded.' : `It failed: ${view.fault.message}`;
}

const because = ({ fault }: View, lead: string): string =>
  fault === undefined ? '' : `${lead}${fault.message}`;

const oldestFirst = (one: Wait, other: Wait): number => Number((one.sinceNs ?? 0n) - (other.sinceNs ?? 0n));

function waitSentence({ view, nowNs }: Asked, wait: Wait): string {
  const { sinceNs = 0n, deadlineNs = 0n, pid = 0n, on = '', effect = '' } = wait;
  const left = deadlineNs - nowNs;
  const process = pid === 0n ? '' : ` (pid ${pid})`;
  const since = spanText(nowNs - sinceNs);
  if (view.kind === 'container' && view.grace !== undefined && effect === 'grace') {
    const next =
      left > 0n ? `SIGKILL follows in ${spanText(left)}` : 'its grace period is over, SIGKILL follows';
    return `${signalText(view.grace.signal)} was sent ${since} ago, and its process${process} has not exited; ${next}.`;
  }
  const end = left > 0n ? `given up in ${spanText(left)}` : `${spanText(-left)} over its time`;
  return `Waits on ${on === '' ? effect : on}${process} for ${since}; ${end}.${because(view, ' Before that it failed: ')}`;
}

function containerSentence({ history }: Asked, view: ContainerView): string {
  const { state, path, fault, exit, startFault, spec } = view;
  if (exit !== undefined) return exitSentence(view, history);
  if (path === 'stopping.unkillable')
    return `SIGKILL was sent repeatedly, and its process${pidText(view)} has not exited: the kernel holds it.`;
  if (state === 'stopping' && path !== 'stopping.signalling')
    return `SIGKILL was sent, and its process${pidText(view)} has not exited yet.`;
  const failed = startFault ?? fault;
  if (failed !== undefined) return `Failed: ${failed.message}`;
  if (state === 'created') return 'Created; the client has not started it yet.';
  if (state !== 'running') return `Between two steps: ${path}.`;
  const { attempt } = spec.key;
  return attempt === 0 ? 'Running.' : `Running; earlier attempts have ended: this is attempt ${attempt}.`;
}

const pidText = ({ init }: ContainerView): string => (init === undefined ? '' : ` (pid ${init.pid})`);

function exitSentence(view: ContainerView, history: readonly Change[]): string {
  const { attempt } = view.spec.key;
  return `${exitText(view, history)}${attempt === 0 ? '' : ` This was attempt ${attempt}.`}`;
}

function exitText(view: ContainerView, history: readonly Change[]): string {
  const { exit, startFault } = view;
  if (exit === undefined) return '';
  if (exit.reason === 'OOMKilled')
    return `OOM killed: it used more memory than ${limitText(view)} (exit code ${exit.exitCode}).`;
  if (startFault !== undefined) return `It did not start: ${startFault.message}`;
  if (history.some(({ to }) => to === 'stopping.killing'))
    return `Killed: it did not exit on ${signalText(view.effective?.stopSignal ?? '')} within its grace period (exit code ${exit.exitCode}).`;
  if (exit.exitCode === 0) return `Exited with code 0: completed.`;
  const signal = SIGNALS[exit.exitCode - 128];
  if (history.some(({ to }) => to.startsWith('stopping')))
    return `Stopped by its client (exit code ${exit.exitCode}).`;
  return `Exited by itself with code ${exit.exitCode}${signal === undefined ? '' : `, ${signal}`}.`;
}

/** Signals that end a process most often; a shell's exit code for them is 128 and the number. */
const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
  31: 'SIGSYS',
};

const signalText = (name: string): string => (name === '' ? 'its stop signal' : name);

function limitText({ effective, spec }: ContainerView): string {
  const bytes = effective?.limits?.memoryLimitBytes ?? spec.resources.memoryLimitBytes;
  return bytes === undefined || bytes === 0n
    ? 'the pod or the node has'
    : `its limit of ${Number(bytes) / MIB < 10 ? (Number(bytes) / MIB).toFixed(1) : Math.round(Number(bytes) / MIB)} MiB`;
}

const MIB = 1024 * 1024;

function sandboxSentence({ related }: Asked, { ready, path, settled }: SandboxView): string {
  if (!settled) return `Between two steps: ${path}.`;
  if (!ready) return 'Stopped.';
  const containers = related.filter((view) => view.kind === 'container');
  if (containers.length === 0) return 'Ready, without containers.';
  const newest = newestOfEach(containers);
  const failing = newest.flatMap((one) => failingText(one, containers));
  const running = newest.filter(({ state }) => state === 'running').length;
  const count = `Ready; ${running} of ${newest.length} ${newest.length === 1 ? 'container' : 'containers'} running.`;
  return [count, ...failing.slice(0, MOST_FAILING)].join(' ');
}

/** Failing containers that the sentence of a pod names. */
const MOST_FAILING = 2;

/** Of the attempts under one name, the last. */
function newestOfEach(containers: readonly ContainerView[]): readonly ContainerView[] {
  const newest = new Map<string, ContainerView>();
  for (const one of containers) {
    const { name, attempt } = one.spec.key;
    if (attempt >= (newest.get(name)?.spec.key.attempt ?? 0)) newest.set(name, one);
  }
  return [...newest.values()];
}

/** The failure of a container, or of the attempt before it. */
function failingText(last: ContainerView, all: readonly ContainerView[]): readonly string[] {
  const { name } = last.spec.key;
  const ended = all
    .filter((one) => one.spec.key.name === name && one.exit !== undefined && one.exit.exitCode !== 0)
    .toSorted((one, other) => other.spec.key.attempt - one.spec.key.attempt);
  const [failed] = ended;
  const fault = last.startFault ?? last.fault;
  if (failed === undefined) return fault === undefined ? [] : [`Container ${name} failed: ${fault.message}`];
  return [`Container ${name}, attempt ${failed.spec.key.attempt}: ${lowerFirst(exitText(failed, []))}`];
}

const lowerFirst = (text: string): string =>
  /^[A-Z][a-z]/u.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;

/** `0.4 s`, `42 s`, `3 m 5 s`. */
function spanText(ns: bigint): string {
  const seconds = Number(ns < 0n ? 0n : ns) / 1e9;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} m ${whole % 60} s`;
}
