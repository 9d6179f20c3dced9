/** One actor in words: its state, what it waits on, which cleanup is pending. Pure. */
import { constants } from 'node:os';
import type { Actor, Change, PullLayer, Wait } from '../../gen/introspection/v1/introspection_pb.ts';
import { QUARANTINED } from '../../actors/directory/states.ts';
import type { ContainerState, SandboxState } from '../../actors/directory/states.ts';
import { age, bytes, shortAddress, shortId } from './text.ts';
import type { Tone } from './screen.ts';

/** `default/web`, `app`, `nginx:1`; with the attempt when it is not the first. */
export function nameOf(actor: Actor): string {
  const name = actor.namespace === '' ? actor.name : `${actor.namespace}/${actor.name}`;
  return actor.attempt === 0 ? name : `${name} #${actor.attempt}`;
}

/**
 * Settled states in which a pod or a container does its work. The daemon may be of another version: its states are
 * strings.
 */
const AT_WORK: ReadonlySet<string> = new Set<SandboxState | ContainerState>(['ready', 'running']);

/** The tone of its state. */
export function toneOf(actor: Actor): Tone {
  if (actor.fault !== '' || actor.debts.length > 0 || actor.state === QUARANTINED) return 'bad';
  if (!actor.settled) return 'busy';
  return AT_WORK.has(actor.state) ? 'good' : 'dim';
}

/** In one line: what it waits on, else which cleanup is pending, why it failed, how it ended. */
export function summary(actor: Actor, nowNs: bigint): string {
  const progress = pullText(actor);
  const waits = [...(progress === '' ? [] : [progress]), ...actor.waits.map((wait) => waitLine(wait, nowNs))];
  if (waits.length > 0) return waits.join(', ');
  if (actor.debts.length > 0)
    return `cleanup pending: ${actor.debts.join(', ')}${actor.fault === '' ? '' : `: ${actor.fault}`}`;
  if (actor.fault !== '') return actor.fault;
  if (actor.hasExited) return exitText(actor);
  return actor.settled ? '' : 'its next step';
}

/** `12.0 MiB of 40.0 MiB, 3.1 MiB/s, 9.0s left` of a pull whose layers are known, else empty. */
export function pullText({ layers }: Actor): string {
  if (layers.length === 0) return '';
  const sum = (part: (layer: PullLayer) => bigint): number =>
    Number(layers.reduce((all, layer) => all + part(layer), 0n));
  const total = sum(({ sizeBytes }) => sizeBytes);
  const done = sum(({ present, sizeBytes, downloadedBytes }) => (present ? sizeBytes : downloadedBytes));
  const rate = sum(({ bytesPerSecond }) => bytesPerSecond);
  const text = `${bytes(done)} of ${bytes(total)}`;
  if (rate === 0) return text;
  const leftNs = (BigInt(Math.max(0, total - done)) * 1_000_000_000n) / BigInt(rate);
  return `${text}, ${bytes(rate)}/s, ${age(leftNs)} left`;
}

/** `exit code 137, SIGKILL: OOMKilled`. A shell's code for a process that a signal has ended is 128 and its number. */
export function exitText({ exitCode, exitReason }: Pick<Actor, 'exitCode' | 'exitReason'>): string {
  const signal = signalName(exitCode - 128);
  const code = `exit code ${exitCode}${signal === undefined ? '' : `, ${signal}`}`;
  // the other two say no more than the code
  return ['', 'Completed', 'Error'].includes(exitReason) ? code : `${code}: ${exitReason}`;
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

function waitLine(wait: Wait, nowNs: bigint): string {
  const pid = wait.pid === 0n ? '' : ` (pid ${wait.pid})`;
  return `${wait.on === '' ? wait.effect : wait.on}${pid}, ${leftUntil(wait, nowNs)}`;
}

/** `88s left`, or how long its bound has passed. */
export function leftUntil(wait: Wait, nowNs: bigint): string {
  const left = wait.deadlineNs - nowNs;
  return left >= 0n ? `${age(left)} left` : `${age(-left)} over its time`;
}

/** What a process is doing, by the letter of proc(5). */
export function processStateWord(letter: string): string {
  const words: Readonly<Record<string, string>> = {
    R: 'runs',
    S: 'sleeps',
    D: 'waits in the kernel and cannot be killed',
    T: 'was stopped by a signal',
    t: 'is traced',
    Z: 'has ended and is not reaped',
    X: 'has ended',
    I: 'is idle in the kernel',
  };
  return words[letter] ?? (letter === '' ? 'has ended' : letter);
}

/** `starting → running  on success [StartContainer 9f…]`. */
export function changeText(change: Change): string {
  const cause = change.cause === '' ? '' : ` [${change.cause}]`;
  return `${stepText(change.from, change.to)}  on ${plainEvent(change.on)}${cause}`;
}

/** Why the process ended or something failed, at this change; empty for neither. */
export function reasonText(change: Change): string {
  const exit = change.hasExited ? exitText(change) : '';
  return [exit, change.fault].filter((part) => part !== '').join(', ');
}

/** `pod default/web`, `container default/web/app`, or the address where the daemon has not sent a name. */
export function changeName({ address, name, namespace, pod }: Change): string {
  const kind = address.split('/', 1)[0] ?? '';
  const names = [namespace, pod, name].filter((part) => part !== '');
  return name === '' ? shortAddress(address) : `${kind === 'sandbox' ? 'pod' : kind} ${names.join('/')}`;
}

/** Shows only the changed ones of parallel states: `provisioning: network.pinning → network.adding`. */
function stepText(from: string, to: string): string {
  const [a, b] = [sideBySide(from), sideBySide(to)];
  if (a === undefined || b === undefined || a.around !== b.around || a.states.length !== b.states.length) {
    return `${from === '' ? 'new' : brief(from)} → ${brief(to)}`;
  }
  const steps = a.states.flatMap((state, at) =>
    state === b.states[at] ? [] : [`${state} → ${b.states[at] ?? ''}`],
  );
  return `${a.around}: ${steps.join(', ')}`;
}

function sideBySide(
  path: string,
): { readonly around: string; readonly states: readonly string[] } | undefined {
  const parts = /^([^{}]+)\.\{([^{}]*)\}$/u.exec(path);
  return parts === null ? undefined : { around: parts[1] ?? '', states: (parts[2] ?? '').split(',') };
}

/** The state around parallel states, for changes that enter or leave all of them. */
function brief(path: string): string {
  return sideBySide(path)?.around ?? path;
}

/** xstate's own events in plain words. */
function plainEvent(type: string): string {
  const effect = /^xstate\.(done|error)\.actor\.(.+)$/u.exec(type);
  // the id of an invoked effect ends with the path of its state, which the line shows already
  if (effect !== null) return effect[1] === 'done' ? 'success' : 'failure';
  const after = /^xstate\.after\.([^.]+)/u.exec(type);
  if (after !== null) return `after ${after[1] ?? ''}`;
  return type === 'xstate.init' ? 'birth' : type;
}

/** `pod default/web`, `container app`, for headings. */
export function titleOf(actor: Actor): string {
  const kind = actor.kind === 'sandbox' ? 'pod' : actor.kind;
  return `${kind} ${nameOf(actor)} (${shortId(actor.id)})`;
}
