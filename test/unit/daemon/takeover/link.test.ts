// Messages between two daemons: what is taken, what is refused, and that no descriptor is left open.
import { closeSync, openSync, readdirSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { dialDaemon, Link } from '../../../../src/daemon/takeover/link.ts';
import { isMessage } from '../../../../src/daemon/takeover/messages.ts';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { DescriptorChannel } from '../../../../src/host/io/descriptor-channel.ts';
import { makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { faultOf } from '../../../support/fault-of.ts';
import { untilTrue } from '../../../support/turns.ts';

const MORE = 1;
const released = {
  type: 'released',
  sockets: ['cri'],
  service: { notifySocket: '' },
  tokens: [],
  events: { lastNs: '0', shown: [] },
} as const;
const openFds = (): number => readdirSync('/proc/self/fd').length;

/** A link, the bare channel at its other end, and a descriptor to send. */
function bench() {
  const { ours, theirs } = makeSocketPair();
  const clock = new HandClock();
  const [link, peer] = [
    new Link(new DescriptorChannel(ours, 'one'), clock),
    new DescriptorChannel(theirs, 'other'),
  ];
  const file = openSync('/dev/null', 'r');
  onTestFinished(() => {
    link.close();
    peer.close();
    closeSync(file);
  });
  const frame = (value: unknown, flag = 0): Buffer =>
    Buffer.concat([Buffer.of(flag), Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))]);
  return { clock, link, peer, file, frame };
}

test('a message of several frames arrives whole, with its descriptors where they are expected', async () => {
  const { ours, theirs } = makeSocketPair();
  const clock = new HandClock();
  const [one, other] = [ours, theirs].map((fd) => new Link(new DescriptorChannel(fd, 'end'), clock));
  onTestFinished(() => [one, other].forEach((end) => end?.close()));
  const file = openSync('/dev/null', 'r');
  onTestFinished(() => closeSync(file));
  const reason = 'x'.repeat(2.5 * takeOverLimits.frameBytes);
  const sent = one?.send({ ...released, events: { ...released.events, lastNs: reason } }, [file, file]);
  const got = await other?.expect('released', 1000);
  await sent;
  expect(got?.message.events.lastNs).toBe(reason);
  expect(got?.fds).toHaveLength(2);
  for (const fd of got?.fds ?? []) closeSync(fd);
});

test('descriptors that nobody asked for are closed', async () => {
  const { link, peer, file, frame } = bench();
  const before = openFds();
  await peer.send(frame({ type: 'recovered' }), [file, file]);
  expect((await link.receive())?.fds).toEqual([]);
  await peer.send(frame({ type: 'passed' }), [file]);
  await link.expect('passed', 1000);
  await peer.send(frame({ type: 'holds', sessions: 1 }), [file]);
  expect(await link.next(1000)).toMatchObject({ sessions: 1 });
  expect(openFds()).toBe(before);
  await peer.send(frame(released), [file]);
  expect(await faultOf(link.expect('serving', 1000))).toMatchObject({ kind: 'outside' });
  // the link has closed its own one
  expect(openFds()).toBe(before - 1);
});

test('what is no message is refused, and the link closed', async () => {
  const bad = [
    'no json',
    '[]',
    JSON.stringify({ type: 'unknown' }),
    JSON.stringify({ type: 'toString' }),
    JSON.stringify({ type: 'hello', protocol: '1' }),
    JSON.stringify({ type: 'upgrade', protocol: 1, program: 7 }),
    JSON.stringify({ type: 'released', sockets: null, tokens: [], events: {} }),
  ];
  for (const text of bad) {
    const { link, peer, frame } = bench();
    await peer.send(frame(text));
    expect(await faultOf(link.receive()), text).toMatchObject({ kind: 'outside' });
    expect(await link.receive()).toBeUndefined();
  }
});

test('a message that is too long, has too many frames or too many descriptors is refused', async () => {
  const { frameBytes, frames, firstBytes } = takeOverLimits;
  const long = bench();
  const sent = long.peer.send(Buffer.alloc(firstBytes + 1, MORE)).catch(() => undefined);
  expect(await faultOf(long.link.receive(firstBytes))).toMatchObject({
    message: expect.stringContaining('too long'),
  });
  await sent;
  expect(frames * frameBytes).toBeGreaterThan(64 * 1024 * 1024);
  const many = bench();
  const before = openFds();
  const refused = faultOf(many.link.receive());
  for (let at = 0; at <= frames; at += 1) await many.peer.send(Buffer.of(MORE)).catch(() => undefined);
  expect(await refused).toMatchObject({ message: expect.stringContaining('too long') });
  const hoard = bench();
  const hoarded = faultOf(hoard.link.receive());
  for (let at = 0; at <= hostLimits.messageDescriptors; at += 1)
    await hoard.peer.send(Buffer.of(MORE), [hoard.file]).catch(() => undefined);
  expect(await hoarded).toMatchObject({ message: expect.stringContaining('descriptors') });
  expect(openFds()).toBeLessThanOrEqual(before + 3);
});

test('F92 a peer that says nothing, or does not read, is given up after a bound', async () => {
  const { clock, link, peer } = bench();
  const silent = faultOf(link.expect('serving', takeOverLimits.answerMs));
  clock.fire(takeOverLimits.answerMs);
  expect(await silent).toMatchObject({ kind: 'timedOut' });
  const full = faultOf(link.send({ type: 'refused', reason: 'x'.repeat(8 * takeOverLimits.frameBytes) }));
  await untilTrue(() => clock.timers.size > 0);
  clock.fire(takeOverLimits.answerMs);
  expect(await full).toMatchObject({ kind: 'timedOut' });
  peer.close();
});

test('the end of the peer is undefined where any message may come, and a fault where one is expected', async () => {
  const { link, peer } = bench();
  peer.close();
  expect(await link.receive()).toBeUndefined();
  expect(await faultOf(link.expect('serving', 1000))).toMatchObject({ kind: 'outside' });
  await link.report({ type: 'serving' });
});

test('a refusal is a conflict with its reason', async () => {
  const { link, peer, frame } = bench();
  await peer.send(frame({ type: 'refused', reason: 'another root' }));
  expect(await faultOf(link.expect('freezing', 1000))).toMatchObject({
    kind: 'conflict',
    message: 'another root',
  });
});

test('each message needs its fields, of their kinds', () => {
  const hello = {
    type: 'hello',
    isRescue: false,
    protocol: 1,
    version: '1',
    journal: 1,
    root: {},
    state: {},
    socket: '/s',
  };
  expect(isMessage(hello)).toBe(true);
  for (const name of Object.keys(hello)) expect(isMessage({ ...hello, [name]: undefined }), name).toBe(false);
  expect(isMessage({ ...hello, root: null })).toBe(false);
  expect(isMessage({ type: 'upgrade', protocol: 1 })).toBe(true);
});

test('nobody listens at a path that is too long for a socket, or does not exist', () => {
  expect(dialDaemon(`/tmp/${'x'.repeat(120)}/take-over.sock`, new HandClock())).toBeUndefined();
  expect(dialDaemon('/tmp/none/take-over.sock', new HandClock())).toBeUndefined();
});
