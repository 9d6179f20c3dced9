/** Server streams over a real socket: what the client gets, and what a handler learns of its client. */
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { Client, credentials, status } from '@grpc/grpc-js';
import { createEmptyActor } from 'xstate';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Directory } from '../../../src/actors/directory/directory.ts';
import { fault, FaultError } from '../../../src/base/fault.ts';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { edgeStreams } from '../../../src/cri/call/edge.ts';
import { EventFeed } from '../../../src/cri/call/event-feed.ts';
import { getContainerEvents } from '../../../src/cri/runtime/get-container-events.ts';
import type { StreamHandler } from '../../../src/cri/call/server.ts';
import { startCriServer } from '../../../src/cri/call/server.ts';
import { listenPrivately } from '../../../src/host/io/private-socket.ts';
import { RpcError, toStatus } from '../../../src/cri/call/status.ts';
import { ContainerEventResponseSchema, ContainerEventType } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView } from '../../unit/cri/stage.ts';
import { injects } from '../../support/faults/injects.ts';
import { HandTimers } from '../../support/hand-clock.ts';
import { scratchDirectory } from './harness.ts';

const goneClient = injects('F86', 'a client of events goes while the stream is open');
const slowClient = injects('F86', 'a client of a stream does not read');
const burst = injects('F86', 'more events at once than are queued for a client');

const NAME = 'runtime.v1.RuntimeService/GetContainerEvents';

async function serve(handler: StreamHandler) {
  const socketPath = join(scratchDirectory(), 'cri.sock');
  const clock = new HandTimers();
  const server = await startCriServer({
    listen: (onConnection) => listenPrivately({ path: socketPath, clock, log: silentLog, onConnection }),
    methods: {},
    streams: { [NAME]: handler },
    clock,
    log: silentLog,
  });
  onTestFinished(() => server.close());
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  onTestFinished(() => client.close());
  const same = (bytes: Buffer): Buffer => bytes;
  return { server, open: () => client.makeServerStreamRequest(`/${NAME}`, same, same, Buffer.alloc(0)) };
}

/** All messages, and how it ended. */
async function all(
  stream: ClientReadableStream<Buffer>,
): Promise<{ messages: Buffer[]; code: number; details: string }> {
  const messages: Buffer[] = [];
  try {
    for await (const message of stream as AsyncIterable<Buffer>) messages.push(message);
    return { messages, code: status.OK, details: '' };
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { messages, code, details };
  }
}

/** Writes one message and comes back when the call is aborted, be it while the message is on its way. */
async function sayAndWait(signal: AbortSignal, write: (message: Uint8Array) => Promise<void>): Promise<void> {
  await write(Buffer.from('here')).catch(() => undefined);
  if (!signal.aborted)
    await new Promise((aborted) => signal.addEventListener('abort', aborted, { once: true }));
}

describe('a stream', () => {
  test('delivers every message in order and ends', async () => {
    const { open } = await serve(async (_request, _call, write) => {
      for (const text of ['one', 'two', '']) await write(Buffer.from(text));
    });
    const { messages, code } = await all(open());
    expect([messages.map(String), code]).toEqual([['one', 'two', ''], status.OK]);
  });

  test('delivers what was written before its fault, and then the fault', async () => {
    const { open } = await serve(async (_request, _call, write) => {
      await write(Buffer.from('one'));
      throw new Error('a bug');
    });
    const { messages, code, details } = await all(open());
    expect([messages.map(String), code, details]).toEqual([
      ['one'],
      status.INTERNAL,
      'GetContainerEvents: internal error',
    ]);
  });

  test('F86: a client that disconnects aborts its handler, and further writes fail', async () => {
    const { promise: ended, resolve } = Promise.withResolvers<readonly unknown[]>();
    const { open } = await serve(async (_request, { signal }, write) => {
      await sayAndWait(signal, write);
      const late = await write(Buffer.from('late')).catch((error: unknown) => error);
      resolve([signal.reason, late]);
    });
    const stream = open();
    stream.on('error', () => undefined);
    stream.once('data', () => stream.cancel());
    const [reason, late] = await ended;
    expect(reason).toBeInstanceOf(FaultError);
    expect((reason as FaultError).fault.kind).toBe('cancelled');
    goneClient.happened();
    expect(late).toBe(reason);
  });

  test('F86: a client that does not read pauses its handler instead of filling memory', async () => {
    const message = Buffer.alloc(1024 * 1024);
    const MANY = 200;
    let written = 0;
    const { promise: stuck, resolve } = Promise.withResolvers<void>();
    const { open } = await serve(async (_request, { signal }, write) => {
      try {
        // far more than the windows of HTTP/2 and the socket's buffers hold
        while (written < MANY) {
          await write(message);
          written += 1;
        }
      } catch (error) {
        expect(error).toBe(signal.reason);
      }
      resolve();
    });
    const stream = open();
    stream.on('error', () => undefined);
    // reads one message of many and goes: the handler was waiting in the middle
    stream.once('data', () => {
      stream.pause();
      stream.cancel();
    });
    await stuck;
    expect(written).toBeLessThan(MANY);
    slowClient.happened();
  });

  test('F12: ends with Unavailable as soon as a drain begins', async () => {
    const { server, open } = await serve(async (_request, { signal }, write) => {
      await sayAndWait(signal, write);
      throw new RpcError(toStatus((signal.reason as FaultError).fault, ''));
    });
    const stream = open();
    const outcome = all(stream);
    await new Promise((resolve) => stream.once('metadata', resolve));
    void server.drain();
    expect(await outcome).toMatchObject({ code: status.UNAVAILABLE, details: 'troupe is stopping' });
  });
});

describe('GetContainerEvents', () => {
  test('F86: a burst beyond the queue ends the stream with ResourceExhausted; a new stream works', async () => {
    const directory = new Directory();
    const clock = { nowNs: () => 1n, monoMs: () => 0 };
    const feed = new EventFeed(directory, clock, { id: 'a' });
    const streams = edgeStreams({
      clock,
      random: { token: () => 'r' },
      log: silentLog,
      notReadyReason: () => undefined,
      runtimeStreams: {
        getContainerEvents: getContainerEvents({ troupe: { findImage: () => undefined } }, feed),
      },
    });
    const { open } = await serve(
      streams[NAME] ?? (() => Promise.reject(new FaultError(fault('bug', 'no stream')))),
    );
    const ref = createEmptyActor();
    const view = containerView(containerId('c'));
    const slow = open();
    const outcome = all(slow);
    await new Promise((resolve) => slow.once('metadata', resolve));
    // two events each, all before the stream gets its turn
    for (let at = 0; at <= edgeLimits.eventQueue; at += 1)
      directory.put({ ...view, listed: at % 2 === 0 }, ref);
    expect(await outcome).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: `send events: the client is more than ${edgeLimits.eventQueue} events behind, list again`,
    });
    burst.happened();

    directory.put({ ...view, listed: false }, ref);
    const next = open();
    await new Promise((resolve) => next.once('metadata', resolve));
    const first = new Promise<Buffer>((resolve) => next.once('data', resolve));
    next.on('error', () => undefined);
    directory.put(view, ref);
    const { containerEventType } = fromBinary(ContainerEventResponseSchema, await first);
    expect(containerEventType).toBe(ContainerEventType.CONTAINER_CREATED_EVENT);
    next.cancel();
  });
});
