import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ByteBlocks } from '../../../src/base/byte-blocks.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import { MovedMessage } from '../../../src/cri/call/moved-message.ts';
import type { CallContext, UnaryHandler } from '../../../src/cri/call/server.ts';
import { RpcError } from '../../../src/cri/call/status.ts';
import { ImageService, RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { injects } from '../../support/faults/injects.ts';
import { PING, PONG, PREFACE, reset, SETTINGS, SETTINGS_ACK, wholeCall } from '../../support/half-open.ts';
import { clientOn, rawCall, serve, version } from './harness.ts';

const largeMessage = injects('F87', 'a request of more than 16 MiB, sent or unpacked');
const manyStreams = injects('F87', 'ten thousand calls of one connection at once, kept open or reset');

const echo: UnaryHandler = (request) => Promise.resolve(request);
const runPod = 'runtime.v1.RuntimeService/RunPodSandbox';

/** A handler that waits for its signal and then rejects with the reason, and what it was called with. */
function waiting(): { handler: UnaryHandler; called: Promise<CallContext>; reason: Promise<unknown> } {
  const called = Promise.withResolvers<CallContext>();
  const reason = Promise.withResolvers<unknown>();
  const handler: UnaryHandler = (_request, call) => {
    called.resolve(call);
    return new Promise((_resolve, reject) => {
      call.signal.addEventListener('abort', () => {
        reason.resolve(call.signal.reason);
        const { fault } = call.signal.reason as FaultError;
        reject(new RpcError({ code: 'unavailable', message: fault.message }));
      });
    });
  };
  return { handler, called: called.promise, reason: reason.promise };
}

/** A handler that answers when the test says so. */
function held(): { handler: UnaryHandler; called: Promise<void>; release: () => void } {
  const called = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  return {
    called: called.promise,
    release: gate.resolve,
    handler: async (request) => {
      called.resolve();
      await gate.promise;
      return request;
    },
  };
}

describe('calls', () => {
  test('bytes go in and out as they are', async () => {
    const { client } = await serve({ [version]: echo });
    const answer = await client.unary(version, Buffer.from([0, 1, 254, 255]));
    expect(answer).toEqual({ code: status.OK, details: '', bytes: Buffer.from([0, 1, 254, 255]) });
  });

  test('each of the 43 RPCs is declared, and without a handler answers Unimplemented with a plain sentence', async () => {
    const { client } = await serve({});
    const rpcs = [RuntimeService, ImageService].flatMap((service) =>
      service.methods.map((rpc) => ({ rpc, service })),
    );
    expect(rpcs.length).toBe(43);
    for (const { rpc, service } of rpcs) {
      const name = `${service.typeName}/${rpc.name}`;
      const outcome = rpc.methodKind === 'unary' ? await client.unary(name) : await client.stream(name);
      expect(outcome.code, name).toBe(status.UNIMPLEMENTED);
      expect(outcome.details).toBe(`RPC ${rpc.name} is not implemented by this version of troupe`);
    }
  });

  test('a handler for an unknown or streaming RPC is refused at start', async () => {
    await expect(serve({ 'runtime.v1.RuntimeService/Versoin': echo })).rejects.toThrow(/Versoin/u);
    await expect(serve({ 'runtime.v1.RuntimeService/GetContainerEvents': echo })).rejects.toThrow(
      /GetContainerEvents/u,
    );
  });

  test('a handler that throws fails one call without internal details', async () => {
    const { client } = await serve({
      [version]: echo,
      [runPod]: () => {
        throw new Error('secret detail');
      },
    });
    expect(await client.unary(runPod)).toMatchObject({
      code: status.INTERNAL,
      details: 'RunPodSandbox: internal error',
    });
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('status messages arrive whole in any script; lone surrogates are replaced, long messages cut at a character', async () => {
    let message = '';
    const { client } = await serve({
      [runPod]: () => Promise.reject(new RpcError({ code: 'notFound', message })),
    });
    message = 'run “pöd” 100 % ☸';
    expect(await client.unary(runPod)).toMatchObject({ code: status.NOT_FOUND, details: message });
    message = 'broken \ud800 text';
    expect(await client.unary(runPod)).toMatchObject({ details: 'broken \ufffd text' });
    message = '€'.repeat(2000);
    expect((await client.unary(runPod)).details).toBe(`${'€'.repeat(1365)}…`);
  });

  test('S62 F87 a request of more than 16 MiB, sent or unpacked, is refused, and others are served', async () => {
    const { client, socketPath } = await serve({
      [version]: (request) => Promise.resolve(new Uint8Array([request.length % 251])),
    });
    const most = new Uint8Array(edgeLimits.receiveBytes);
    expect(await client.unary(version, most)).toMatchObject({ code: status.OK });
    expect(await client.unary(version, new Uint8Array(edgeLimits.receiveBytes + 1))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
    const bomb = gzipSync(new Uint8Array(edgeLimits.receiveBytes + 1));
    const frame = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), bomb]);
    frame.writeUInt32BE(bomb.length, 1);
    // refused before it is unpacked
    expect(await rawCall(socketPath, `/${version}`, { 'grpc-encoding': 'gzip' }, frame)).toBe(
      String(status.UNIMPLEMENTED),
    );
    largeMessage.happened(2);
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('an answer of more than 16 MiB passes', async () => {
    const { client } = await serve({ [version]: () => Promise.resolve(new Uint8Array(20 * 1024 * 1024)) });
    expect((await client.unary(version)).bytes.length).toBe(20 * 1024 * 1024);
  });

  test('F87 bytes that are not HTTP/2, unknown methods and bad headers fail only their sender', async () => {
    const { client, socketPath } = await serve({ [version]: echo });
    const connection = connect(socketPath);
    const closed = new Promise((resolve) => connection.on('close', resolve));
    connection.on('error', () => undefined);
    connection.resume();
    // not ended by its sender: the server must hang up
    connection.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(3));
    await closed;
    const nothing = Buffer.from([0, 0, 0, 0, 0]);
    expect(await rawCall(socketPath, '/runtime.v1alpha2.RuntimeService/Version', {}, nothing)).toBe(
      String(status.UNIMPLEMENTED),
    );
    expect(await rawCall(socketPath, '/é/ÿ', {}, nothing)).toBe(String(status.UNIMPLEMENTED));
    expect(await rawCall(socketPath, `/${version}`, { 'grpc-timeout': 'soon' }, nothing)).toBe(
      String(status.INTERNAL),
    );
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test.each([
    ['open at once: beyond the bound their connection is closed', (): Buffer => Buffer.alloc(0), true],
    ['reset as they come', reset, false],
  ] as const)(
    'F87 ten thousand calls of one connection, %s; others are served',
    async (_how, then, isClosed) => {
      let begun = 0;
      let atWork = 0;
      const { client, socketPath } = await serve({
        [version]: echo,
        [runPod]: async (_request, { signal }) => {
          begun += 1;
          atWork += 1;
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          atWork -= 1;
          throw new RpcError({ code: 'cancelled', message: '' });
        },
      });
      const connection = connect(socketPath);
      onTestFinished(() => void connection.destroy());
      const said: Buffer[] = [];
      const isOver = new Promise<boolean>((resolve) => {
        connection.on('close', () => resolve(true)).on('error', () => undefined);
        connection.on('data', (bytes) => {
          said.push(bytes);
          if (Buffer.concat(said).includes(PONG)) resolve(false);
        });
      });
      const calls = Array.from({ length: 10_000 }, (_none, at) =>
        Buffer.concat([wholeCall(`/${runPod}`, 2 * at + 1), then(2 * at + 1)]),
      );
      connection.write(Buffer.concat([PREFACE, SETTINGS, SETTINGS_ACK, ...calls, PING]));
      expect(await isOver).toBe(isClosed);
      manyStreams.happened();
      expect(await client.unary(version)).toMatchObject({ code: status.OK });
      // no handler waits for a caller that has gone
      await expect.poll(() => [begun > 0, atWork]).toEqual([true, 0]);
    },
  );
});

describe('deadlines and cancels', () => {
  test('the handler learns the deadline and the traceparent', async () => {
    const seen: CallContext[] = [];
    const { client } = await serve({
      [version]: (request, call) => {
        seen.push(call);
        return Promise.resolve(request);
      },
    });
    const before = performance.now();
    await client.unary(version, new Uint8Array(), {
      deadline: Date.now() + 3_600_000,
      headers: { traceparent: 'as it came' },
    });
    await client.unary(version);
    expect(seen[0]?.traceparent).toBe('as it came');
    // the client says how long it waits, and the server's monotonic clock counts
    expect(seen[0]?.deadlineMonoMs).toBeGreaterThan(before + 3_000_000);
    expect(seen[0]?.deadlineMonoMs).toBeLessThanOrEqual(performance.now() + 3_600_000);
    expect(seen[1]).not.toHaveProperty('deadlineMonoMs');
    expect(seen[1]).not.toHaveProperty('traceparent');
    expect(seen[0]?.signal.aborted).toBe(false);
  });

  test('S85 a message that is moved into its frame arrives whole, and its buffer is detached', async () => {
    const blocks = new ByteBlocks('test', 4 * 1024 * 1024);
    for (let at = 0; at < 3000; at += 1) blocks.appendCopy(Buffer.alloc(1000, at % 251));
    const expected = Buffer.concat([
      Buffer.from('head'),
      ...Array.from({ length: 3000 }, (_none, at) => Buffer.alloc(1000, at % 251)),
      Buffer.from('tail'),
    ]);
    const { client } = await serve({
      [version]: () => Promise.resolve(new MovedMessage([Buffer.from('head'), blocks, Buffer.from('tail')])),
    });
    const { code, bytes } = await client.unary(version);
    expect([code, bytes.length, Buffer.compare(bytes, expected), blocks.size]).toEqual([
      status.OK,
      expected.length,
      0,
      0,
    ]);
  });

  test('F68 a passed deadline aborts the signal with timedOut', async () => {
    const { handler, reason } = waiting();
    const { socketPath } = await serve({ [runPod]: handler });
    // by a client that does not count itself: on a busy machine it would give up before it has asked
    const outcome = rawCall(socketPath, `/${runPod}`, { 'grpc-timeout': '100m' }, Buffer.alloc(5));
    expect(((await reason) as FaultError).fault).toMatchObject({
      kind: 'timedOut',
      message: "RunPodSandbox: the caller's deadline has passed",
    });
    expect(await outcome).toBe(String(status.DEADLINE_EXCEEDED));
  });

  test('F68 a client that disconnects aborts the signal with cancelled', async () => {
    const { handler, called, reason } = waiting();
    const { client } = await serve({ [runPod]: handler });
    const { call, outcome } = client.start(runPod, new Uint8Array(), { deadline: Date.now() + 3_600_000 });
    await called;
    call.cancel();
    expect(((await reason) as FaultError).fault).toMatchObject({ kind: 'cancelled' });
    expect(await outcome).toMatchObject({ code: status.CANCELLED });
  });

  test('a client that cancels thousands of calls keeps its connection and its other calls (F68)', async () => {
    const { handler, called, release } = held();
    let arrived = 0;
    let onArrival: () => void = () => undefined;
    const never: UnaryHandler = () => {
      arrived += 1;
      onArrival();
      return new Promise(() => undefined);
    };
    const { client } = await serve({ [runPod]: handler, [version]: never });
    const { outcome } = client.start(runPod, Buffer.from('kept'));
    await called;
    // more than Node's own bound, and fewer at once than a connection may have
    const each = 500;
    for (let round = 1; round <= 6; round += 1) {
      const given = Array.from({ length: each }, () => client.start(version));
      await new Promise<void>((resolve) => {
        onArrival = () => void (arrived === round * each && resolve());
      });
      for (const { call } of given) call.cancel();
      for (const one of given) expect((await one.outcome).code).toBe(status.CANCELLED);
    }
    release();
    expect(await outcome).toMatchObject({ code: status.OK, bytes: Buffer.from('kept') });
  });

  test.each(['60000M', '9000000S', '99999999H'])(
    'a deadline of more than 2³¹ ms (%s) does not expire at once',
    async (timeout) => {
      const seen: (number | undefined)[] = [];
      const { socketPath } = await serve({
        [version]: (request, call) => {
          seen.push(call.deadlineMonoMs);
          return Promise.resolve(request);
        },
      });
      expect(
        await rawCall(socketPath, `/${version}`, { 'grpc-timeout': timeout }, Buffer.from([0, 0, 0, 0, 0])),
      ).toBe('0');
      expect(seen[0]).toBeGreaterThan(performance.now() + 24 * 86_400_000);
    },
  );
});

describe('drain and close', () => {
  test('F12 a drain lets calls at work finish and refuses new ones with Unavailable', async () => {
    const { handler, called, release } = held();
    const { client, server, socketPath } = await serve({ [runPod]: handler, [version]: echo });
    const { outcome } = client.start(runPod, Buffer.from('kept'));
    await called;
    const drained = server.drain();
    for (const other of [client, clientOn(socketPath)]) {
      expect(await other.unary(version)).toMatchObject({
        code: status.UNAVAILABLE,
        details: 'Version: troupe is stopping',
      });
    }
    release();
    expect(await outcome).toMatchObject({ code: status.OK, bytes: Buffer.from('kept') });
    await drained;
    expect(existsSync(socketPath)).toBe(false);
    expect(await client.unary(version)).toMatchObject({ code: status.UNAVAILABLE });
  });

  test('F12 when the grace has passed, calls still at work are aborted with notReady and can still answer', async () => {
    const { handler, called, reason } = waiting();
    const { client, server, clock } = await serve({ [runPod]: handler });
    const { outcome } = client.start(runPod);
    await called;
    const drained = server.drain(1234);
    expect([...clock.timers.values()].map((timer) => timer.ms)).toContain(1234);
    clock.fire();
    expect(((await reason) as FaultError).fault).toMatchObject({ kind: 'notReady' });
    expect(await outcome).toMatchObject({ code: status.UNAVAILABLE, details: 'troupe is stopping' });
    await drained;
    expect(clock.timers.size).toBe(0);
  });

  test('an idle server drains without waiting, twice is once', async () => {
    const { server, clock } = await serve({});
    const first = server.drain();
    expect(server.drain()).toBe(first);
    await first;
    await server.close();
    expect(clock.timers.size).toBe(0);
  });

  test('close drops calls at work', async () => {
    const { handler, called, reason } = waiting();
    const { client, server } = await serve({ [runPod]: handler });
    const { outcome } = client.start(runPod);
    await called;
    await server.close();
    expect(await reason).toBeInstanceOf(FaultError);
    expect(await outcome).toMatchObject({ code: status.UNAVAILABLE });
  });
});
