// The daemons before the one that serves: they get its events, and follow whoever serves next (F92).
import { createEmptyActor } from 'xstate';
import { expect, onTestFinished, test } from 'vitest';
import { Directory } from '../../../../src/actors/directory/directory.ts';
import { EventFeed } from '../../../../src/cri/call/event-feed.ts';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { Followers, followOn } from '../../../../src/daemon/takeover/followers.ts';
import { Link } from '../../../../src/daemon/takeover/link.ts';
import type { Follow } from '../../../../src/daemon/takeover/messages.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { DescriptorChannel } from '../../../../src/host/io/descriptor-channel.ts';
import { makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { processIdentity } from '../../../../src/host/process/process-identity.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { untilTrue } from '../../../support/turns.ts';
import { sandboxId, sandboxView } from '../../cri/stage.ts';

const { pollMs, relayEndMs, relayPollMs } = takeOverLimits;
const S = sandboxId('a');
const ref = createEmptyActor();
const clock = new HandClock();
const follow: Follow = {
  type: 'follow',
  protocol: 1,
  version: '1.0.0',
  sinceNs: '100',
  sinceFeed: 'a',
  handedNs: '90',
  sessions: 2,
};

function pair(): [Link, Link] {
  const { ours, theirs } = makeSocketPair();
  const links = [ours, theirs].map((fd) => new Link(new DescriptorChannel(fd, 'end'), clock));
  onTestFinished(() => links.forEach((link) => link.close()));
  return links as [Link, Link];
}

/** A daemon that has taken over, and what it says to one before it. */
function serving() {
  const directory = new Directory();
  let ns = 100n;
  const before = { lastNs: '100', feed: 'a', shown: [] };
  const feed = new EventFeed(directory, { nowNs: () => (ns += 1n) }, { id: 'b', before });
  feed.announce();
  const followers = new Followers(feed, ({ type }) => Buffer.from(type), silentLog);
  return { directory, feed, followers };
}

test('F92 a former daemon gets the events that it has missed, then each new one; it is listed until it ends', async () => {
  const { directory, feed, followers } = serving();
  directory.put(sandboxView(S), ref);
  const [link, peer] = pair();
  const served = followers.serve(link, follow, 41);
  const types: string[] = [];
  for (let at = 0; at < 2; at += 1) {
    const { message } = await peer.expect('event', 1000);
    types.push(Buffer.from(message.message, 'base64').toString());
  }
  directory.put(sandboxView(S, { ready: false, state: 'notReady' }), ref);
  const { message } = await peer.expect('event', 1000);
  expect([...types, message.event, message.id]).toEqual(['created', 'started', 'stopped', S]);
  expect(followers.list()).toEqual([{ pid: 41, version: '1.0.0', sinceNs: 90n, sessions: 2 }]);
  await peer.send({ type: 'holds', sessions: 1 });
  await untilTrue(() => followers.list()[0]?.sessions === 1);
  peer.close();
  await served;
  expect([followers.list(), feed.isWatched]).toEqual([[], false]);
});

test.each([
  ['is no longer kept', { ...follow, sinceNs: '7' }],
  ['another daemon sent, which has crashed since', { ...follow, sinceNs: '105', sinceFeed: 'crashed' }],
])('F92 one that has missed what %s hears of the gap, and gets what comes', async (_what, known) => {
  const { directory, feed, followers } = serving();
  const [link, peer] = pair();
  const served = followers.serve(link, known, 41);
  await peer.expect('gap', 1000);
  directory.put(sandboxView(S), ref);
  expect((await peer.expect('event', 1000)).message).toMatchObject({ ns: '101', feed: 'b' });
  peer.close();
  await served;
  expect(feed.isWatched).toBe(false);
});

test('no more former daemons than the bound are served', async () => {
  const { followers } = serving();
  const ends = Array.from({ length: takeOverLimits.relays }, () => pair());
  for (const [at, [link]] of ends.entries()) void followers.serve(link, follow, at + 1);
  const [link, peer] = pair();
  await followers.serve(link, follow, 999);
  expect(await peer.receive()).toBeUndefined();
  expect(followers.list()).toHaveLength(takeOverLimits.relays);
});

test('F92 a former daemon follows one after the other from its last event, until the node’s daemon is stopped', async () => {
  const heard: string[] = [];
  const dialed: Link[] = [];
  const pauses: number[] = [];
  const outcome = followOn(
    {
      dial: () => {
        const [own, peer] = pair();
        dialed.push(peer);
        return own;
      },
      follow: () => follow,
      onLink: (link) => heard.push(link === undefined ? 'left' : 'linked'),
      onEvent: (message, { id }) => heard.push(`${Buffer.from(message).toString()} ${id}`),
      onMoved: () => heard.push('moved'),
      onGap: () => heard.push('gap'),
      onLost: () => heard.push('lost'),
    },
    async (ms) => void pauses.push(ms),
    new AbortController().signal,
  );
  const next = async (number: number): Promise<[Link, string]> => {
    await untilTrue(() => dialed.length === number);
    const peer = dialed[number - 1] as Link;
    const { sinceNs, sinceFeed } = (await peer.expect('follow', 1000)).message;
    return [peer, `${sinceFeed} ${sinceNs}`];
  };
  const [first, fromFirst] = await next(1);
  const message = Buffer.from('x').toString('base64');
  await first.send({ type: 'event', message, ns: '105', feed: 'b', id: S, sandboxId: S, event: 'stopped' });
  await first.send({ type: 'moved' });
  const [second, fromSecond] = await next(2);
  await second.send({ type: 'gap' });
  second.close();
  const [third, fromThird] = await next(3);
  await third.send({ type: 'stopping' });
  expect(await outcome).toBe('stopping');
  expect([fromFirst, fromSecond, fromThird]).toEqual(['a 100', 'b 105', 'b 105']);
  expect(heard).toEqual([
    'linked',
    `x ${S}`,
    'left',
    'moved',
    'linked',
    'gap',
    'left',
    'lost',
    'linked',
    'left',
  ]);
  expect(pauses).toEqual([takeOverLimits.pollMs, takeOverLimits.relayPollMs]);
});

test('a daemon that can’t be reached is lost, and dialed again until the signal aborts', async () => {
  const ending = new AbortController();
  let tries = 0;
  const outcome = await followOn(
    {
      dial: () => {
        tries += 1;
        if (tries === 3) ending.abort();
        throw new Error('connection refused');
      },
      follow: () => follow,
      onLink: () => undefined,
      onMoved: () => undefined,
      onEvent: () => undefined,
      onGap: () => undefined,
      onLost: () => undefined,
    },
    () => Promise.resolve(),
    ending.signal,
  );
  expect([outcome, tries]).toEqual(['aborted', 3]);
});

test('F92 a stop right after the hand-over waits for the former daemon, which is about to follow', async () => {
  const { followers } = serving();
  const { pid } = process;
  const own = processIdentity(pid);
  if (own === undefined) throw new Error('no process of ours');
  const [link, peer] = pair();
  const stopped = followers.stopped(clock, own);
  const served = followers.serve(link, { ...follow, sinceNs: '7' }, pid);
  await peer.expect('gap', 1000);
  await clock.advance(pollMs);
  await peer.expect('stopping', 1000);
  peer.close();
  await served;
  // this process does not end
  await clock.advance(relayEndMs);
  await stopped;
});

test('F92 but not for long: one that hangs does not hold the stop up', async () => {
  const { followers } = serving();
  const own = processIdentity(process.pid);
  const stopped = followers.stopped(clock, own);
  await clock.advance(relayPollMs + pollMs);
  await stopped;
});
