/** The daemons before this one that hold sessions: what is sent to them, and what `troupe status` shows of them. */
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { EventFeed, EventStream } from '../../cri/call/event-feed.ts';
import type { SandboxId } from '../../base/ids.ts';
import type { EventPosition, SentEvent } from '../../cri/call/kept-events.ts';
import type { PodEvent, PodEventType } from '../../cri/call/pod-event.ts';
import { takeOverLimits } from '../bounds.ts';
import { pause, within } from '../../host/clock/wait.ts';
import { processExists, processIdentity } from '../../host/process/process-identity.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import type { Link } from './link.ts';
import type { Follow } from './messages.ts';
import { untilGone } from './relays.ts';

/** A daemon that holds sessions of before. */
export interface FormerDaemon {
  readonly pid: number;
  readonly version: string;
  /** When it handed over, in nanoseconds. */
  readonly sinceNs: bigint;
  readonly sessions: number;
}

interface Follower {
  readonly link: Link;
  readonly pid: number;
  readonly follow: Follow;
  sessions: number;
}

export class Followers {
  readonly #feed: EventFeed;
  readonly #encode: (event: PodEvent) => Uint8Array;
  readonly #log: Log;
  readonly #all = new Set<Follower>();

  constructor(feed: EventFeed, encode: (event: PodEvent) => Uint8Array, log: Log) {
    this.#feed = feed;
    this.#encode = encode;
    this.#log = log;
  }

  list(): readonly FormerDaemon[] {
    return [...this.#all].map(({ pid, follow, sessions }) => ({
      pid,
      version: follow.version,
      sinceNs: BigInt(follow.handedNs),
      sessions,
    }));
  }

  /** Serves one daemon until it ends. Never rejects. */
  async serve(link: Link, follow: Follow, pid: number): Promise<void> {
    const follower: Follower = { link, pid, follow, sessions: follow.sessions };
    if (this.#all.size >= takeOverLimits.relays) return link.close();
    this.#all.add(follower);
    const missed = this.#feed.openSince(positionOf(follow));
    const stream = missed ?? this.#feed.open();
    const ended = new AbortController();
    try {
      if (missed === undefined) await link.report({ type: 'gap' });
      await Promise.race([this.#send(link, stream, ended.signal), this.#listen(follower)]);
    } catch (thrown) {
      this.#log.debug({ pid, reason: toFault(thrown).message }, 'send events to the daemon before: failed');
    } finally {
      ended.abort();
      stream.close();
      this.#all.delete(follower);
      link.close();
    }
  }

  /** Another daemon serves now: they follow that one. */
  async moved(): Promise<void> {
    await this.#report('moved');
  }

  /**
   * The node's daemon is being stopped. Settles once they have ended, in a bounded time.
   * @param former handed over to this daemon: it may be about to follow, and would wait for another daemon otherwise
   */
  async stopped(clock: ClockPort, former: HostIdentity | undefined): Promise<void> {
    const untilMs = clock.monoMs() + takeOverLimits.relayPollMs;
    const isAway = (): boolean =>
      former !== undefined && ![...this.#all].some(({ pid }) => pid === former.pid) && processExists(former);
    while (isAway() && clock.monoMs() < untilMs) await pause(clock, takeOverLimits.pollMs);
    const identities = [...this.#all].flatMap(({ pid }) => processIdentity(pid) ?? []);
    await this.#report('stopping');
    await within({ clock, timeoutMs: takeOverLimits.relayEndMs }, untilGone(identities, clock));
  }

  async #report(type: 'moved' | 'stopping'): Promise<void> {
    const links = [...this.#all].map(({ link }) => link);
    await Promise.all(links.map((link) => link.report({ type })));
    for (const link of links) link.close();
  }

  async #send(link: Link, stream: EventStream, signal: AbortSignal): Promise<void> {
    for (;;) {
      for (const event of await stream.take(signal)) {
        await link.send({
          type: 'event',
          message: Buffer.from(this.#encode(event)).toString('base64'),
          ns: String(event.createdAtNs),
          feed: this.#feed.id,
          id: event.id,
          sandboxId: event.sandbox?.id ?? '',
          event: event.type,
        });
      }
    }
  }

  async #listen(follower: Follower): Promise<void> {
    for (;;) {
      const received = await follower.link.receive();
      if (received === undefined) return;
      const { message } = received;
      if (message.type === 'holds') follower.sessions = message.sessions;
    }
  }
}

/** Where a daemon that has handed over goes on with events. */
export function sinceOf({ lastNs, feed }: EventPosition): Pick<Follow, 'sinceNs' | 'sinceFeed'> {
  return { sinceNs: lastNs, sinceFeed: feed };
}

function positionOf({ sinceNs, sinceFeed }: Follow): EventPosition {
  return { lastNs: sinceNs, feed: sinceFeed };
}

/** How a daemon that has handed over follows whoever serves. */
export interface FollowOptions {
  /** A new connection to the daemon that serves. */
  dial(): Link;
  follow(): Follow;
  /** The connection, for `holds`; undefined when it has ended. */
  onLink(link: Link | undefined): void;
  onEvent(message: Uint8Array, sent: SentEvent): void;
  /** Events are missing: clients have to list again. */
  onGap(): void;
  /** The daemon that served has handed over, too. */
  onMoved(): void;
  /** The daemon that serves has ended without a word. */
  onLost(): void;
}

/** Follows until the node's daemon is stopped, or the signal aborts. Never rejects. */
export async function followOn(
  { dial, follow, ...rest }: FollowOptions,
  pauseFor: (ms: number) => Promise<void>,
  signal: AbortSignal,
): Promise<'stopping' | 'aborted'> {
  let since = positionOf(follow());
  while (!signal.aborted) {
    const asked = { ...follow(), ...sinceOf(since) };
    const outcome = await followOnce(dial, asked, rest, signal, (seen) => {
      since = seen;
    }).catch(() => 'lost' as const);
    if (outcome === 'stopping') return 'stopping';
    if (outcome === 'moved') rest.onMoved();
    if (outcome === 'lost' && !signal.aborted) rest.onLost();
    await pauseFor(outcome === 'moved' ? takeOverLimits.pollMs : takeOverLimits.relayPollMs);
  }
  return 'aborted';
}

async function followOnce(
  dial: () => Link,
  follow: Follow,
  { onLink, onEvent, onGap }: Omit<FollowOptions, 'dial' | 'follow'>,
  signal: AbortSignal,
  onSeen: (last: EventPosition) => void,
): Promise<'moved' | 'stopping' | 'lost'> {
  const link = dial();
  const close = (): void => link.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    await link.send(follow);
    onLink(link);
    for (;;) {
      const received = await link.receive();
      if (received === undefined) return 'lost';
      const { message } = received;
      if (message.type === 'moved' || message.type === 'stopping') return message.type;
      if (message.type === 'gap') onGap();
      if (message.type !== 'event') continue;
      const { id, sandboxId, event, ns, feed } = message;
      onSeen({ lastNs: ns, feed });
      // daemons of one protocol have the same types of events
      onEvent(Buffer.from(message.message, 'base64'), {
        id,
        sandboxId: sandboxId as SandboxId,
        type: event as PodEventType,
        ns,
        feed,
      });
    }
  } finally {
    signal.removeEventListener('abort', close);
    onLink(undefined);
    link.close();
  }
}
