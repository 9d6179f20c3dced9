/** How a command, or a daemon that takes over, reaches a daemon that may not listen yet. */
import type { ClockPort } from '../../ports/clock.ts';
import { pause } from '../../host/clock/wait.ts';
import { lockHolder } from '../../host/files/directory-lock.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { dialDaemon } from './link.ts';
import type { Link } from './link.ts';

interface DialWait {
  readonly clock: ClockPort;
  /** Milliseconds for the daemon to listen. */
  readonly waitMs: number;
  /** Milliseconds between two attempts. */
  readonly pollMs: number;
  /** Called once, with the process that has the lock. */
  readonly onWait: (pid: number) => void;
}

/**
 * A connection to the daemon's take-over socket. One that holds the root's lock and does not listen there yet recovers,
 * or takes over itself: it will. Undefined when none runs, or none listens in time.
 */
export async function dialOnceReady(
  place: Parameters<typeof createLayout>[0],
  { clock, waitMs, pollMs, onWait }: DialWait,
): Promise<Link | undefined> {
  const { takeOverSocket } = createLayout(place);
  const untilMs = clock.monoMs() + waitMs;
  for (let isNoted = false; ; isNoted = true) {
    const link = dialDaemon(takeOverSocket, clock);
    if (link !== undefined || clock.monoMs() >= untilMs) return link;
    // a directory that is not there, or may not be read, has no daemon
    const pid = await lockHolder(place.root).catch(() => undefined);
    // it may have begun to listen, and handed over, between the two
    if (pid === undefined) return dialDaemon(takeOverSocket, clock);
    if (!isNoted) onWait(pid);
    await pause(clock, pollMs);
  }
}
