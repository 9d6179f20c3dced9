/** The side of the daemon that takes over (docs/takeover.md). */
import { fail, FaultError, fault, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { closeFd } from '../../host/io/descriptors.ts';
import { takeOverLimits } from '../bounds.ts';
import type { Link } from './link.ts';
import { TAKE_OVER_PROTOCOL } from './messages.ts';
import type { Hello, Released } from './messages.ts';

/** What a daemon has taken over; empty where the former one has died meanwhile. */
export interface Inheritance {
  readonly tokens: Released['tokens'];
  /** The process of the former daemon. */
  readonly former: number | undefined;
  readonly events: Released['events'] | undefined;
  /** Where the former daemon has reported. */
  readonly service: Released['service'] | undefined;
  /** Listening descriptors by name, which the caller owns. */
  sockets(): ReadonlyMap<string, readonly number[]>;
  /** The recovery is done: the former daemon stops accepting. Settles also if it has died: then nobody accepts. */
  pass(): Promise<void>;
  /** This daemon accepts calls. Settles when it is the main process of the unit, if the former one was. */
  serving(): Promise<void>;
}

/** A take-over that the daemon which runs has refused, or that can't reach it, with its reason: that daemon goes on. */
export class TakeOverRefused extends FaultError {
  constructor(reason: string) {
    super(fault('conflict', reason));
    this.name = 'TakeOverRefused';
  }
}

/**
 * Takes over from the daemon at the other end of this connection, which is closed in the end. Returns once that one has
 * released lock and journal, or has died. Throws TakeOverRefused.
 */
export async function takeOverBy(
  link: Link,
  facts: Omit<Hello, 'type' | 'protocol'>,
  log: Log,
): Promise<Inheritance> {
  try {
    await link.send({ type: 'hello', protocol: TAKE_OVER_PROTOCOL, ...facts });
    const { message: former } = await answerOf(link, link.expect('freezing', takeOverLimits.answerMs));
    log.info({ pid: former.pid, version: former.version }, 'taking over from another daemon');
    const landingMs = takeOverLimits.landMs + takeOverLimits.abortMs + takeOverLimits.recoverMs;
    const { message, fds } = await answerOf(link, link.expect('released', landingMs));
    log.info(
      { sockets: message.sockets, tokens: message.tokens.length },
      'the other daemon has released the lock',
    );
    return inheritanceOf(link, { former: former.pid, ...message }, fds, log);
  } catch (thrown) {
    link.close();
    if (thrown instanceof TakeOverRefused) throw thrown;
    // it has died, or is about to: the lock decides who serves
    log.warn(
      { reason: toFault(thrown).message },
      'take-over: the other daemon has gone, start as after a crash',
    );
    return {
      tokens: [],
      former: undefined,
      events: undefined,
      service: undefined,
      sockets: () => new Map(),
      pass: nothing,
      serving: nothing,
    };
  }
}

async function nothing(): Promise<void> {
  // nobody waits for it
}

async function answerOf<T>(link: Link, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    if (kind === 'conflict') throw new TakeOverRefused(message);
    if (kind === 'timedOut') {
      link.close();
      throw new TakeOverRefused(`take over: the daemon that runs does not answer: ${message}`);
    }
    throw thrown;
  }
}

function inheritanceOf(
  link: Link,
  message: Released & { readonly former: number },
  fds: readonly number[],
  log: Log,
): Inheritance {
  const bySocket = new Map<string, number[]>();
  if (fds.length !== message.sockets.length) {
    // one that is held but not accepted from would let clients wait for ever
    for (const fd of fds) closeFd(fd);
    fail('outside', 'take over: sockets and their names do not match');
  }
  for (const [at, name] of message.sockets.entries())
    bySocket.set(name, [...(bySocket.get(name) ?? []), fds[at] ?? -1]);
  const whileThere = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    await work().catch((thrown: unknown) =>
      log.warn({ reason: toFault(thrown).message }, `${what}: the other daemon has gone`),
    );
  };
  return {
    tokens: message.tokens,
    former: message.former,
    events: message.events,
    service: message.service,
    sockets: () => bySocket,
    pass: () =>
      whileThere('pass the calls', async () => {
        await link.send({ type: 'recovered' });
        await link.expect('passed', takeOverLimits.answerMs);
      }),
    serving: async () => {
      await whileThere('end the hand-over', async () => {
        await link.send({ type: 'serving' });
        await link.expect('named', takeOverLimits.answerMs);
      });
      link.close();
    },
  };
}
