// S78: what one client costs the daemon, over all of its sessions.
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { halfOpenLimits } from '../../../../src/base/bounds.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { driverLimits } from '../../../../src/oci/runtime/bounds.ts';
import { ForwardSlots } from '../../../../src/cri/streaming/forward-slots.ts';
import { InboundQuota, countIn } from '../../../../src/cri/streaming/inbound-quota.ts';
import { SessionQuota } from '../../../../src/cri/streaming/session-quota.ts';
import { requestBytes } from '../../../../src/cri/streaming/stream-request.ts';
import type { SessionSlot } from '../../../../src/cri/streaming/session-quota.ts';
import { TokenTable } from '../../../../src/cri/streaming/tokens.ts';
import { Intake } from '../../../../src/cri/streaming/transport.ts';
import { WsConnection, tunnel } from '../../../../src/cri/streaming/ws-connection.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { AttachBudget, AttachListener } from '../../../../src/oci/runtime/exec/stream-listeners.ts';
import { connectSpdy } from '../../../integration/streaming/clients.ts';
import { container, serve, v4 } from '../../../integration/streaming/fixture.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { Wire } from './support.ts';
import { until } from '../../../support/eventually.ts';

type Client = Awaited<ReturnType<typeof connectSpdy>>['client'];

/** Ends once the server has dealt with all that the client sent before: a stream to no port is refused in its turn. */
async function allSeen(client: Client): Promise<void> {
  await expect((await client.open({ port: '0', streamType: 'error' })).all).rejects.toThrow('reset');
}

test('S78 forwarded connections are bounded in total, for each pod and each namespace; a slot freed twice counts once', () => {
  const slots = new ForwardSlots();
  const { forwards, forwardsPerTarget, forwardsPerNamespace } = streamLimits;
  const take = (pod: number, namespace: string): (() => void)[] =>
    Array.from({ length: forwardsPerTarget }, () => slots.take(`pod ${pod}`, namespace));
  const hostile = Array.from({ length: forwardsPerNamespace / forwardsPerTarget }, (_none, pod) =>
    take(pod, 'hostile'),
  ).flat();
  expect(() => slots.take('pod 0', 'hostile')).toThrow(`${forwardsPerTarget} of the sandbox`);
  expect(() => slots.take('another', 'hostile')).toThrow(`${forwardsPerNamespace} of its namespace,`);
  const others = take(100, 'other');
  expect(hostile.length + others.length).toBe(forwards);
  expect(() => slots.take('third', 'third')).toThrow(`${forwards} in all`);
  others[0]?.();
  others[0]?.();
  slots.take('third', 'third');
  expect(() => slots.take('third', 'third')).toThrow('in all');
  for (const free of [...hostile, ...others]) free();
  take(0, 'hostile');
});

test('S78 sessions, and the bytes of their requests, are bounded for a container, for a namespace and in total', () => {
  const { sessions, sessionsPerTarget, sessionsPerNamespace } = streamLimits;
  /** With so many sessions open. */
  const withOpen = (
    room: SessionQuota,
    count: number,
    namespace: string,
    { target = '', bytes = 100 } = {},
  ): SessionSlot[] =>
    Array.from(
      { length: count },
      (_none, at) =>
        room.take({ target: target === '' ? `${namespace} ${at}` : target, namespace, bytes }) ??
        expect.fail('no room'),
    );
  const wanted = { target: 'new', namespace: 'hostile', bytes: 100 };
  const room = new SessionQuota();
  const hostile = withOpen(room, sessionsPerNamespace, 'hostile');
  expect([room.take(wanted), room.take({ ...wanted, namespace: 'other' })]).toEqual([
    undefined,
    expect.anything(),
  ]);
  withOpen(room, sessions - sessionsPerNamespace - 1, 'b');
  expect(room.take({ ...wanted, namespace: 'c' })).toBeUndefined();
  for (const place of hostile.slice(0, 1)) for (const release of [place.release, place.release]) release();
  expect([room.take({ ...wanted, namespace: 'c' }), room.take({ ...wanted, namespace: 'c' })]).toEqual([
    expect.anything(),
    undefined,
  ]);
  const ofTarget = new SessionQuota();
  withOpen(ofTarget, sessionsPerTarget, 'other', { target: 'new' });
  expect([ofTarget.take(wanted), ofTarget.take({ ...wanted, target: 'another' })]).toEqual([
    undefined,
    expect.anything(),
  ]);
});

test('S78 the bytes of the requests of open sessions are bounded for a namespace and in total, and read ones make room', () => {
  const argv = ['sh', '-c', 'x'.repeat(1024 * 1024)];
  const bytes = requestBytes({
    kind: 'exec',
    id: container,
    argv,
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
  });
  expect(bytes).toBeGreaterThan(1024 * 1024);
  const room = new SessionQuota();
  const take = (namespace: string, ofRequest = bytes): SessionSlot | undefined =>
    room.take({ target: 'new', namespace, bytes: ofRequest });
  const [first] = Array.from({ length: 31 }, () => take('a') ?? expect.fail('no room'));
  expect([take('a'), take('a', 100)]).toEqual([undefined, expect.anything()]);
  for (let at = 0; at < 31; at += 1) expect(take('b')).toBeDefined();
  expect([take('c'), take('c'), take('c', 100)]).toEqual([expect.anything(), undefined, expect.anything()]);
  first?.resize(0);
  expect([take('a'), take('a')]).toEqual([expect.anything(), undefined]);
  first?.release();
  first?.resize(bytes);
  expect(take('c', bytes)).toBeUndefined();
});

test('S78 an exec that has started keeps nothing of its command line, which makes room for others', async () => {
  const { exec, seen, argvs, server } = await serve();
  const words = ['hang', 'x'.repeat(1024 * 1024)];
  const count = streamLimits.requestBytesPerNamespace / (1024 * 1024) + 4;
  for (let at = 1; at <= count; at += 1) {
    const { client } = await connectSpdy(await exec(words), v4);
    for (const streamType of ['error', 'stdin', 'stdout', 'stderr']) await client.open({ streamType });
    await until(() => seen.length === at);
  }
  expect([server.counts.sessions, argvs.length, argvs.flat()]).toEqual([count, count, []]);
});

test('S78 the requests that wait behind URLs are bounded by their bytes, too, and used ones make room', () => {
  const tokens = new TokenTable(new HandClock(), realRandom());
  const argv = ['x'.repeat(1024 * 1024)];
  const issue = (namespace = 'c'): string =>
    tokens.issue(
      { kind: 'exec', id: container, argv, stdin: false, stdout: true, stderr: false, tty: false },
      namespace,
    );
  const ofOne = (namespace: string): string[] => Array.from({ length: 7 }, () => issue(namespace));
  const issued = ofOne('a');
  expect(() => issue('a')).toThrow(/URLs of its namespace: 7 with requests of \d+ bytes$/u);
  ofOne('b');
  issue();
  expect(() => issue()).toThrow(/too many unused URLs: 15 with requests of \d+ bytes$/u);
  expect(tokens.take('exec', issued[0] ?? '')).toBeDefined();
  expect(tokens.take('exec', issued[0] ?? '')).toBeUndefined();
  issue();
  expect(() => issue()).toThrow('too many unused URLs');
});

describe('S85 bytes that clients have sent and nobody reads', () => {
  const { inboundBytes, inboundTightBytes, inboundTargetBytes } = streamLimits;
  const part = 64 * 1024;
  /** Takes what comes until it is paused: how much that was. */
  const fill = (intake: Intake, wire: Wire): number => {
    let waiting = 0;
    for (; !wire.isPaused(); waiting += part) intake.came(part);
    return waiting;
  };

  test('S85 are bounded over all sessions of a container: later sessions are read less far ahead, and still go on', async () => {
    const room = new InboundQuota();
    const clock = new HandClock();
    const sessions = Array.from({ length: 200 }, (_none, at) => {
      const wire = new Wire();
      countIn(
        wire,
        room.share(at === 199 ? 'another' : 'one', at === 199 ? 'other' : 'hostile', () => undefined),
      );
      const intake = new Intake(wire, clock, () => undefined);
      return { wire, intake, waiting: fill(intake, wire) };
    });
    expect(sessions[0]?.waiting).toBe(inboundBytes + part);
    expect(sessions[198]?.waiting).toBe(inboundTightBytes + part);
    expect(sessions[199]?.waiting).toBe(inboundBytes + part);
    expect(room.size).toBeLessThan(inboundTargetBytes + 200 * (inboundTightBytes + part) + 2 * inboundBytes);
    for (const { intake, wire, waiting } of sessions) {
      intake.used(waiting);
      expect(wire.isPaused()).toBe(false);
    }
    expect(room.size).toBe(0);
    sessions[0]?.intake.came(part);
    sessions[0]?.wire.destroy();
    await until(() => room.size === 0);
  });

  const none = (): void => undefined;
  const session = (
    room: InboundQuota,
    target: string,
    namespace: string,
  ): { readonly wire: Wire; readonly intake: Intake } => {
    const wire = new Wire();
    countIn(wire, room.share(target, namespace, none));
    return { wire, intake: new Intake(wire, new HandClock(), () => undefined) };
  };
  /** As many sessions as fill a bound, each with as much as it may have; what they give uses it all. */
  const filled = (
    room: InboundQuota,
    namespace: string,
    bytes: number,
    target: (at: number) => string,
  ): (() => void)[] =>
    Array.from({ length: bytes / inboundBytes }, (_none, at) => {
      const { wire, intake } = session(room, target(at), namespace);
      const waiting = fill(intake, wire);
      return () => intake.used(waiting);
    });
  const window = streamLimits.spdyWindowBytes;

  test.each(['a container', 'a namespace', 'all'])(
    'S85 a session that was paused while there was no room for %s is read once there is',
    (whose) => {
      const room = new InboundQuota();
      const target = (at: number): string => (whose === 'a container' ? 'one' : `target ${at}`);
      const bytes = whose === 'a container' ? inboundTargetBytes : streamLimits.inboundNamespaceBytes;
      const others = [
        ...filled(room, 'a', bytes, target),
        ...(whose === 'all' ? filled(room, 'b', bytes, (at) => `other ${at}`) : []),
      ];
      const { wire, intake } = session(
        room,
        whose === 'a container' ? 'one' : 'mine',
        whose === 'all' ? 'mine' : 'a',
      );
      // three streams: two stall with their whole windows, and what is used of the third is no reason to read on
      for (const part of [window, window, window]) intake.came(part);
      expect(wire.isPaused()).toBe(false);
      intake.came(10);
      intake.used(window);
      expect(wire.isPaused()).toBe(true);
      for (const useAll of others) useAll();
      expect([wire.isPaused(), room.size]).toEqual([false, 2 * window + 10]);
    },
  );

  test('S85 while there is no room the other streams of a session with a stalled one go on, whatever one read returns', () => {
    const room = new InboundQuota();
    filled(room, 'a', inboundTargetBytes, () => 'one');
    const { wire, intake } = session(room, 'one', 'a');
    intake.came(window);
    for (let read = 0; read < 100; read += 1) {
      // the read, its frame for another stream, and both are done with
      for (const bytes of [window, window - 8]) intake.came(bytes);
      expect(wire.isPaused()).toBe(false);
      for (const bytes of [window, window - 8]) intake.used(bytes);
    }
  });

  test('S85 the sessions of one namespace are read less far ahead, and those of others as far as before', () => {
    const room = new InboundQuota();
    for (let part = 0; part < 4; part += 1)
      filled(room, 'hostile', streamLimits.inboundNamespaceBytes, (at) => `pod ${part} ${at}`);
    expect(room.size).toBeGreaterThan(1.5 * streamLimits.inboundNamespaceBytes);
    expect(room.share('new', 'hostile', none).most).toBe(inboundTightBytes);
    expect(room.share('new', 'other', none).most).toBe(inboundBytes);
    const half = streamLimits.inboundNamespaceBytes / 2;
    filled(room, 'other', half, (at) => `of another ${at}`);
    expect(room.size).toBeGreaterThan(streamLimits.inboundAllBytes);
    expect(room.share('new', 'other', none).most).toBe(inboundBytes);
    filled(room, 'other', half, (at) => `also of another ${at}`);
    const third = room.share('new', 'third', none);
    third.add(1);
    expect(third.most).toBe(inboundTightBytes);
  });

  test('S85 beyond the bound of stalled sessions, for a namespace and in total, those with the most waiting bytes end', () => {
    const { inboundMostBytes, inboundNamespaceMostBytes, sessionsPerNamespace } = streamLimits;
    const room = new InboundQuota();
    const cut = new Map<string, number>();
    let most = 0;
    const fillSessions = (namespace: string, count: number): void => {
      for (let at = 0; at < count; at += 1) {
        const wire = new Wire();
        countIn(
          wire,
          room.share(`${namespace} ${at}`, namespace, () => {
            cut.set(namespace, (cut.get(namespace) ?? 0) + 1);
            wire.destroy();
          }),
        );
        fill(new Intake(wire, new HandClock(), none), wire);
        most = Math.max(most, room.size);
      }
    };
    fillSessions('quiet', 3);
    fillSessions('hostile', sessionsPerNamespace);
    expect(most).toBeLessThanOrEqual(inboundNamespaceMostBytes + 4 * inboundBytes);
    expect(cut.get('hostile')).toBeGreaterThan(sessionsPerNamespace / 2);
    for (let other = 0; other < 4; other += 1) fillSessions(`hostile ${other}`, 300);
    expect(most).toBeLessThanOrEqual(inboundMostBytes + inboundBytes);
    expect([...cut.keys()].toSorted()).toEqual([
      'hostile',
      ...[0, 1, 2, 3].map((other) => `hostile ${other}`),
    ]);
  });

  test('S85 are counted for SPDY in a WebSocket, too', () => {
    const room = new InboundQuota();
    const wire = new Wire();
    countIn(wire, room.share('one', 'a', none));
    const inner = new Intake(
      tunnel(new WsConnection(wire, Buffer.alloc(0), new HandClock())),
      new HandClock(),
      () => undefined,
    );
    inner.came(part);
    expect(room.size).toBe(part);
  });
});

test('S85 output for attached clients is bounded in total: only those who read least are dropped', async () => {
  const { attachBytes } = driverLimits;
  const { attachAllBytes } = driverLimits;
  const room = new AttachBudget();
  const [stdout, packet] = [2, Buffer.alloc(8 * 1024, 'o')];
  const why: string[] = [];
  const listener = (): AttachListener => {
    const made = new AttachListener(room, container);
    made.dropped.catch((error: Error) => void why.push(error.message));
    return made;
  };
  const silent = Array.from({ length: 16 }, listener);
  // as much as each may have, and then their container is quiet
  for (const one of silent)
    while (one.waiting + packet.length <= attachBytes) expect(one.push(stdout, packet)).toBe(true);
  expect(room.size).toBe(attachAllBytes);
  const slow = listener();
  for (let bytes = 0; bytes < attachBytes / 2; bytes += packet.length)
    expect(slow.push(stdout, packet)).toBe(true);
  expect(room.size).toBeLessThanOrEqual(attachAllBytes);
  expect(silent.map((one) => one.waiting).filter((waiting) => waiting === 0)).toHaveLength(1);
  await until(() => why.length > 0);
  expect(why).toEqual([expect.stringContaining('the client reads too slowly')]);
  for (const one of [...silent, slow]) one.leave();
  expect(room.size).toBe(0);
});

test('S78 the connections of one pod are bounded over all of its sessions, halves included, and those that end make room', async () => {
  const { forward, server } = await serve();
  const many: Client[] = [];
  // a session has room for half of them as streams that wait for their other half
  for (let session = 0; session < 2; session += 1) {
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    many.push(client);
    for (let id = 0; id < streamLimits.forwardsPerTarget / 2; id += 1) {
      await client.open({ port: '80', streamType: 'error', requestID: String(id) });
    }
    await allSeen(client);
  }
  const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
  const over = await client.open({ port: '80', streamType: 'error', requestID: '1' });
  let outcome: unknown = 'is open';
  over.all.catch((thrown: unknown) => (outcome = thrown));
  await allSeen(client);
  expect(String(outcome)).toContain('reset');
  for (const one of many) one.close();
  await until(() => server.counts.sessions === 1);
  const error = await client.open({ port: '80', streamType: 'error', requestID: '2' });
  const data = await client.open({ port: '80', streamType: 'data', requestID: '2' });
  data.write('served');
  data.end();
  expect([(await data.all).toString(), (await error.all).toString()]).toEqual(['served', '']);
  client.close();
  await until(() => server.counts.sessions === 0);
});

test('S68 S89 requests refused for their Host are logged in one short line at a bounded rate', async () => {
  const lines: { readonly fields: Record<string, unknown>; readonly message: string }[] = [];
  const { server, clock } = await serve({ warn: (fields, message) => lines.push({ fields, message }) });
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const headers = { host: 'h'.repeat(8000), connection: 'upgrade', upgrade: 'websocket' };
      const asked = request({ port: server.port, host: '127.0.0.1', headers, agent: false }, (response) =>
        response.resume().on('close', resolve),
      );
      asked.on('error', () => resolve());
      asked.end();
    });
  for (let count = 0; count < 20; count += 1) await ask();
  expect(lines.length).toBe(1);
  expect(String(lines[0]?.fields['host']).length).toBe(streamLimits.refusalChars);
  clock.nowMs += streamLimits.refusalLogMs;
  await ask();
  expect(lines.map(({ fields }) => fields['count'])).toEqual([1, 20]);
  expect(halfOpenLimits.connections).toBeGreaterThan(20);
});
