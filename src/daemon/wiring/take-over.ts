/** A start that takes over from another daemon, and what every daemon has for the next one. */
import { existsSync } from 'node:fs';
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { realClock } from '../../host/clock/clock.ts';
import { pause } from '../../host/clock/wait.ts';
import { lockHolder } from '../../host/files/directory-lock.ts';
import { listenPrivately, someoneListens } from '../../host/io/private-socket.ts';
import { processIdentity } from '../../host/process/process-identity.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { takeOverLimits } from '../bounds.ts';
import { introspectionSocket } from '../config/config.ts';
import { joinService } from '../config/from-systemd.ts';
import type { Config } from '../config/config-schema.ts';
import { dialOnceReady } from '../takeover/dial-once-ready.ts';
import { dialDaemon } from '../takeover/link.ts';
import type { Link } from '../takeover/link.ts';
import { relaysNow } from '../takeover/relays.ts';
import { takeOverBy, TakeOverRefused } from '../takeover/taking.ts';
import type { Inheritance } from '../takeover/taking.ts';
import type { Assembly } from './assemble.ts';
import { criSocket } from './cri-socket.ts';
import { HandOver } from './hand-over.ts';
import type { HandOverParts } from './hand-over-parts.ts';
import { HeldSocket } from './held-socket.ts';
import { instanceOf } from './instance-of.ts';
import type { ListeningSockets } from './listening-sockets.ts';

/**
 * What the daemon before gives, if one runs; its sockets are added to those that were passed. A plain start takes over
 * only where a daemon has handed over, its successor has ended, and it waits for the next one. Where one serves, the
 * root's lock refuses a plain start.
 */
export async function takeOverFrom(
  config: Config,
  log: Log,
  listening: ListeningSockets,
  isTakingOver: boolean,
): Promise<Inheritance | undefined> {
  const layout = createLayout(config);
  if (!isTakingOver && !listening.isPassed('cri')) await untilFormerListens(config, layout);
  if (!isTakingOver && !existsSync(layout.takeOverSocket)) return undefined;
  const hello = { ...(await instanceOf(config)), isRescue: !isTakingOver };
  const inherited = await (isTakingOver
    ? inherit(config, log, hello)
    : inheritFromWaiting(layout.takeOverSocket, log, hello));
  if (inherited === undefined) return undefined;
  listening.add(inherited.sockets());
  if (inherited.service !== undefined) joinService(inherited.service);
  listening.defer();
  return inherited;
}

type Greeting = Parameters<typeof takeOverBy>[1];

/** From a daemon that has handed over and waits for the next one; undefined where none does. */
async function inheritFromWaiting(path: string, log: Log, hello: Greeting): Promise<Inheritance | undefined> {
  try {
    const link = dialDaemon(path, realClock());
    return link && (await takeOverBy(link, hello, log));
  } catch (thrown) {
    log.debug({ reason: toFault(thrown).message }, 'no daemon waits for a successor');
    return undefined;
  }
}

/**
 * From the daemon that serves. The one that is asked first may be a former one that was killed and has not ended:
 * behind it another one has the lock. Throws TakeOverRefused.
 */
async function inherit(config: Config, log: Log, hello: Greeting): Promise<Inheritance | undefined> {
  const untilMs = realClock().monoMs() + takeOverLimits.lockMs;
  let inherited: Inheritance | undefined;
  for (let asked = 0; asked < takeOverLimits.asked; asked += 1) {
    const link = await dialServing(config, log, untilMs);
    if (link === undefined) break;
    inherited = await takeOverBy(link, hello, log);
    if (inherited.former !== undefined) break;
  }
  return inherited;
}

/**
 * A daemon that has the lock and does not listen for another one has not ended its start, or its own former one was
 * killed in the hand-over and has not ended: it listens in a moment. Throws TakeOverRefused where it does not.
 */
async function dialServing(config: Config, log: Log, untilMs: number): Promise<Link | undefined> {
  const clock = realClock();
  const onWait = (pid: number): void =>
    log.info({ pid }, 'the daemon that has the lock does not listen for a successor yet: wait');
  const { pollMs } = takeOverLimits;
  const link = await dialOnceReady(config, { clock, waitMs: untilMs - clock.monoMs(), pollMs, onWait });
  if (link !== undefined || clock.monoMs() < untilMs) return link;
  const holder = await lockHolder(config.root).catch(() => undefined);
  if (holder === undefined) return undefined;
  throw new TakeOverRefused(
    `take over: lock ${config.root}: held by process ${holder}, which listens for no successor`,
  );
}

/**
 * Where the daemon before was killed soon after it had taken over, the one before that still has the CRI socket,
 * accepts nothing from it, and notices only in a moment: then it can be asked. Returns at once in any other case.
 * Throws `timedOut` where it does not notice: the path of the socket is ours, so the next start may succeed.
 */
async function untilFormerListens(config: Config, layout: Layout): Promise<void> {
  const { socket, root } = config;
  const relays = await relaysNow(layout.relaysDir);
  if (relays.length === 0 || !(await someoneListens(socket))) return;
  // counted, since on a machine that stood still no daemon had the time that has passed
  for (let polls = 0; polls < takeOverLimits.noticePolls; polls += 1) {
    if ((await someoneListens(layout.takeOverSocket)) || !(await someoneListens(socket))) return;
    const holder = await lockHolder(root).catch(() => undefined);
    // one that was killed may be named for a moment longer
    if (holder !== undefined && processIdentity(holder) !== undefined) return;
    await pause(realClock(), takeOverLimits.noticePollMs);
  }
  const pids = relays.map(({ pid }) => pid).join(', ');
  fail('timedOut', `listen on ${socket}: daemon ${pids}, which has handed over, waits for no successor`);
}

export interface Sockets {
  readonly cri: HeldSocket;
  readonly introspection: HeldSocket;
}

/** The Unix sockets of the servers: those of the daemon before, if it has given them. */
export function socketsOf(
  config: Config,
  { ports: { clock, log } }: Assembly,
  listening: ListeningSockets,
  isTakingOver: boolean,
  onTaken: (reason: string) => void,
): Sockets {
  const path = introspectionSocket(config);
  const { socket } = config;
  return {
    cri: new HeldSocket(
      criSocket(socket, { clock, log }, listening, ({ pid, uid }) =>
        onTaken(`process ${pid} of uid ${uid} listens on ${socket} now`),
      ),
      // the daemon before answers until this one can
      isTakingOver,
    ),
    introspection: new HeldSocket((onConnection) =>
      listenPrivately({
        path,
        clock,
        log,
        onConnection,
        allowHalfOpen: true,
        ...listening.optionsFor('introspection'),
      }),
    ),
  };
}

/** Lets other daemons take over from this one. A socket that can't be made yet is no reason not to serve. */
export async function handOverOf(parts: HandOverParts): Promise<HandOver> {
  const { config, assembly } = parts;
  const handOver = new HandOver(parts, await instanceOf(config));
  const { clock, log } = assembly.ports;
  const listen = async (isFirst: boolean): Promise<void> => {
    await handOver.listen().catch((thrown: unknown) => {
      // the daemon before may still wait for a successor there, or be killed and not have ended yet: soon again, since
      // the next one is refused so long
      if (isFirst)
        log.error({ reason: toFault(thrown).message }, 'listen for a daemon that takes over: failed');
      clock.setTimeout(() => void listen(false), takeOverLimits.listenAgainMs);
    });
  };
  await listen(true);
  return handOver;
}
