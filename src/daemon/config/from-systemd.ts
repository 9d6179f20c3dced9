/** What systemd says in the environment: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). */
import { configLimits } from '../bounds.ts';

type Environment = Record<string, string | undefined>;

/** Where the main process of a unit reports, and what. A daemon gives it to the one that takes over from it. */
export interface ServiceManager {
  /** Empty without systemd. */
  readonly notifySocket: string;
  /** Milliseconds of the watchdog; undefined without one. */
  readonly watchdogMs?: number | undefined;
}

let known: ServiceManager | undefined;

/** Of this process; the first call takes the watchdog's variables out of the environment. */
export function serviceManager(): ServiceManager {
  known ??= { notifySocket: process.env['NOTIFY_SOCKET'] ?? '', watchdogMs: watchdogMs() };
  return known;
}

/** With what the daemon before had; what systemd has said to this process itself counts first. */
export function joinService(before: ServiceManager): void {
  const own = serviceManager();
  if (own.notifySocket === '') known = before;
  else if (own.notifySocket === before.notifySocket)
    known = { ...own, watchdogMs: own.watchdogMs ?? before.watchdogMs };
}

/** Another process is the unit's main one now: this one reports nothing any more. */
export function leaveService(): void {
  known = { notifySocket: '' };
}

/** systemd's notification socket; empty when this process has nothing to report to it. */
export function notifySocket(): string {
  return serviceManager().notifySocket;
}

/** The first descriptor that systemd passes (SD_LISTEN_FDS_START). */
const FIRST_DESCRIPTOR = 3;

/**
 * The descriptors that were passed to this process, by name, and not close-on-exec yet. Takes the variables out of the
 * environment: the descriptors can be used only once.
 */
export function passedDescriptors(
  environment: Environment = process.env,
  pid: number = process.pid,
): ReadonlyMap<string, readonly number[]> {
  const { LISTEN_PID: forPid, LISTEN_FDS: number, LISTEN_FDNAMES: names = '' } = environment;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  const count = wholeNumber(number);
  // of another process in between, which has not unset them
  if (count === undefined || forPid !== String(pid)) return new Map();
  const passed = new Map<string, number[]>();
  const given = names.split(':');
  for (let at = 0; at < Math.min(count, configLimits.passedDescriptors); at += 1) {
    const name = given[at] ?? '';
    passed.set(name, [...(passed.get(name) ?? []), FIRST_DESCRIPTOR + at]);
  }
  return passed;
}

/** Milliseconds of systemd's watchdog for this process; undefined without one. Takes the variables away, too. */
function watchdogMs(environment: Environment = process.env, pid: number = process.pid): number | undefined {
  const { WATCHDOG_USEC: micros, WATCHDOG_PID: forPid } = environment;
  for (const name of ['WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  const count = wholeNumber(micros);
  return count === undefined || count === 0 || (forPid ?? String(pid)) !== String(pid)
    ? undefined
    : count / 1000;
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/u.test(text) ? Number(text) : undefined;
}
