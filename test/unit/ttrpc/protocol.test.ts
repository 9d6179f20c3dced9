import { Duplex, duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import type { FaultKind } from '../../../src/base/fault.ts';
import { fail } from '../../../src/base/fault.ts';
import { pieceLimits } from '../../../src/base/bounds.ts';
import { ttrpcLimits } from '../../../src/ttrpc/bounds.ts';
import { TTRPC_TYPE, encodeTtrpcFrame } from '../../../src/ttrpc/frames.ts';
import { Task } from '../../../src/gen/shim/task_pb.ts';
import { TtrpcClient } from '../../../src/ttrpc/client.ts';
import { TtrpcServer, ttrpcRoute } from '../../../src/ttrpc/server.ts';
import type { TtrpcRoute, TtrpcServed } from '../../../src/ttrpc/server.ts';
import { TtrpcConnection, codeOfKind, decodeMessage, kindOfCode } from '../../../src/ttrpc/protocol.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { loopTurn } from '../../support/turns.ts';

function pairOf(routes: readonly TtrpcRoute[]) {
  const clock = new HandClock();
  const [near, far] = duplexPair();
  const ends: string[] = [];
  const server = new TtrpcServer(far, { clock, routes, onClose: () => ends.push('server') });
  const client = new TtrpcClient(near, {
    clock,
    peer: 'shim of pod 1',
    metadata: { namespace: 'pods' },
    onClose: () => ends.push('client'),
  });
  return { clock, client, server, near, far, ends };
}

const kindOf = (call: Promise<unknown>): Promise<FaultKind | 'none'> =>
  call.then(
    () => 'none' as const,
    (thrown: unknown) => (thrown instanceof FaultError ? thrown.fault.kind : 'bug'),
  );

const messageOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => '',
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : ''),
  );

describe('ttrpc calls', () => {
  it('carry message, metadata and answer', async () => {
    let seen: { readonly id: string; readonly metadata: ReadonlyMap<string, string> } | undefined;
    const { client } = pairOf([
      ttrpcRoute(Task.method.state, ({ id }, { metadata }) => {
        seen = { id, metadata };
        return Promise.resolve({ id, pid: 7 });
      }),
    ]);
    const state = await client.call(Task.method.state, { id: 'c1' });
    expect({ id: state.id, pid: state.pid }).toEqual({ id: 'c1', pid: 7 });
    expect(seen).toEqual({ id: 'c1', metadata: new Map([['namespace', 'pods']]) });
  });

  it('go on while another one waits', async () => {
    let end: (answer: { exitStatus: number }) => void = () => undefined;
    const { client } = pairOf([
      ttrpcRoute(
        Task.method.wait,
        () =>
          new Promise((resolve) => {
            end = resolve;
          }),
      ),
      ttrpcRoute(Task.method.pids, () => Promise.resolve({ processes: [{ pid: 9 }] })),
    ]);
    const waiting = client.call(Task.method.wait, { id: 'c1' });
    expect((await client.call(Task.method.pids, { id: 'c1' })).processes.map(({ pid }) => pid)).toEqual([9]);
    end({ exitStatus: 3 });
    expect((await waiting).exitStatus).toBe(3);
  });

  it("pass on a fault by its kind, another program's internal error as outside", async () => {
    const { client } = pairOf([
      ttrpcRoute(Task.method.kill, () => fail('notFound', 'process already finished')),
      ttrpcRoute(Task.method.pause, () => Promise.reject(new Error('nil pointer'))),
    ]);
    const killed = client.call(Task.method.kill, { id: 'c1', signal: 9 });
    expect(await messageOf(killed)).toBe('shim of pod 1: Kill: process already finished');
    expect(await kindOf(killed)).toBe('notFound');
    expect(await kindOf(client.call(Task.method.pause, { id: 'c1' }))).toBe('outside');
    expect(await kindOf(client.call(Task.method.resume, { id: 'c1' }))).toBe('unsupported');
    for (const kind of ['notFound', 'wrongState', 'cancelled', 'superseded'] as const)
      expect(kindOfCode(codeOfKind(kind))).toBe(kind);
    expect(kindOfCode(99)).toBe('outside');
  });

  it('can name another version of the service', async () => {
    const { client } = pairOf([
      {
        ...ttrpcRoute(Task.method.connect, () => Promise.resolve({ shimPid: 5 })),
        service: 'containerd.task.v3.Task',
      },
    ]);
    expect(await kindOf(client.call(Task.method.connect, { id: 'c1' }))).toBe('unsupported');
    expect(
      (await client.call(Task.method.connect, { id: 'c1' }, { service: 'containerd.task.v3.Task' })).shimPid,
    ).toBe(5);
  });

  it('end at their deadline and by their signal; later messages are dropped', async () => {
    const served: TtrpcServed[] = [];
    const { client, clock } = pairOf([
      ttrpcRoute(Task.method.wait, (_request, one) => {
        served.push(one);
        return new Promise(() => undefined);
      }),
      ttrpcRoute(Task.method.pids, () => Promise.resolve({})),
    ]);
    const late = kindOf(client.call(Task.method.wait, { id: 'c1' }, { timeoutMs: 500 }));
    const controller = new AbortController();
    const unwanted = kindOf(client.call(Task.method.wait, { id: 'c1' }, { signal: controller.signal }));
    // an answer to a later call: the two before it have arrived
    await client.call(Task.method.pids, { id: 'c1' });
    controller.abort();
    expect(await unwanted).toBe('cancelled');
    await clock.advance(500);
    expect(await late).toBe('timedOut');
    expect(served.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(await kindOf(client.call(Task.method.wait, { id: 'c1' }, { signal: controller.signal }))).toBe(
      'cancelled',
    );
  });

  it('reject when the connection ends, with peer and reason, and abort the handlers', async () => {
    const served: TtrpcServed[] = [];
    const { client, server, ends } = pairOf([
      ttrpcRoute(Task.method.wait, (_request, one) => {
        served.push(one);
        return new Promise(() => undefined);
      }),
      ttrpcRoute(Task.method.pids, () => Promise.resolve({})),
    ]);
    const waiting = client.call(Task.method.wait, { id: 'c1' });
    const message = messageOf(waiting);
    await client.call(Task.method.pids, { id: 'c1' });
    server.close();
    expect(await kindOf(waiting)).toBe('notReady');
    expect(await message).toBe('shim of pod 1: Wait: the connection has ended');
    expect(served[0]?.signal.aborted).toBe(true);
    expect(ends).toEqual(['server', 'client']);
    expect(client.isClosed).toBe(true);
    expect(await kindOf(client.call(Task.method.pids, { id: 'c1' }))).toBe('notReady');
  });

  it('are bounded on both ends', async () => {
    const { client, server, far } = pairOf([
      ttrpcRoute(Task.method.wait, () => new Promise(() => undefined)),
    ]);
    const calls = Array.from({ length: ttrpcLimits.requests + 1 }, () =>
      kindOf(client.call(Task.method.wait, { id: 'c1' })),
    );
    expect(await calls.at(-1)).toBe('exhausted');
    far.pause();
    for (let more = calls.length - 1; more < ttrpcLimits.pendingCalls; more += 1)
      calls.push(kindOf(client.call(Task.method.wait, { id: 'c1' })));
    expect(await kindOf(client.call(Task.method.wait, { id: 'c1' }))).toBe('exhausted');
    expect(await kindOf(client.call(Task.method.state, { id: 'x'.repeat(ttrpcLimits.messageBytes) }))).toBe(
      'exhausted',
    );
    server.close();
    await Promise.all(calls);
  });

  it('end on bytes that are not the protocol', async () => {
    for (const bytes of [
      encodeTtrpcFrame({ streamId: 2, type: TTRPC_TYPE.request, flags: 0, payload: new Uint8Array() }),
      Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 1, 1, 0),
    ]) {
      const { server, near, ends } = pairOf([]);
      near.write(bytes);
      await expect.poll(() => server.isClosed).toBe(true);
      expect(ends).toContain('server');
    }
    const { client, far } = pairOf([]);
    const waiting = kindOf(client.call(Task.method.wait, { id: 'c1' }));
    far.write(encodeTtrpcFrame({ streamId: 1, type: TTRPC_TYPE.data, flags: 0, payload: new Uint8Array() }));
    expect(await waiting).toBe('notReady');
  });
});

describe('S85 requests at work', () => {
  it('are bounded in bytes, too: those beyond are refused, and one alone is accepted', async () => {
    const ends: (() => void)[] = [];
    const { client } = pairOf([
      ttrpcRoute(
        Task.method.state,
        ({ id }) => new Promise((resolve) => void ends.push(() => resolve({ id: id.slice(0, 1) }))),
      ),
    ]);
    const large = (digit: string): Promise<unknown> =>
      client.call(Task.method.state, { id: digit.repeat(3 * 1024 * 1024) });
    const first = [large('1'), large('2')];
    let third = 'is taken';
    void kindOf(large('3')).then((kind) => (third = kind));
    await expect.poll(() => ends.length > 2 || third !== 'is taken').toBe(true);
    expect([third, ends.length]).toEqual(['exhausted', 2]);
    for (const end of ends.splice(0)) end();
    await Promise.all(first);
    const again = large('4');
    await expect.poll(() => ends.length).toBe(1);
    ends[0]?.();
    await again;
  });

  it('with a great many fields are refused before they are decoded', () => {
    const bytes = new Uint8Array(2 * (ttrpcLimits.messagePieces + 1));
    // StateRequest.id, each time empty
    for (let at = 0; at < bytes.length; at += 2) bytes[at] = (1 << 3) | 2;
    expect(() => decodeMessage(Task.method.state.input, bytes)).toThrow(/262145 fields, more than 262144/u);
    expect(decodeMessage(Task.method.state.input, bytes.subarray(0, 2000)).id).toBe('');
  });
});

describe('S85 small messages for a peer that does not read', () => {
  it('are refused before their objects cost more than the bound, and no longer count once sent', async () => {
    const taken: (() => void)[] = [];
    const stream = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done: () => void) => void taken.push(done),
    });
    const connection = new TtrpcConnection(stream, { onFrame: () => undefined, onEnd: () => undefined });
    const frame = { streamId: 1, type: TTRPC_TYPE.data, flags: 0, payload: Uint8Array.of(1) };
    const most = ttrpcLimits.unsentBytes / pieceLimits.leastChargeBytes;
    for (let at = 0; at < most; at += 1) connection.send(frame);
    expect(() => connection.send(frame)).toThrow(/has left \d+ bytes unread/u);
    taken[0]?.();
    await loopTurn();
    connection.send(frame);
    expect(() => connection.send(frame)).toThrow(FaultError);
    connection.close();
  });
});
