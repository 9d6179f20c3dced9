import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { fail, fault, FaultError } from '../../../../src/base/fault.ts';
import { edgeLimits } from '../../../../src/cri/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import type { EdgeOptions } from '../../../../src/cri/call/edge.ts';
import { edgeMethods, edgeStreams } from '../../../../src/cri/call/edge.ts';
import { ListBytes } from '../../../../src/cri/present/list-bytes.ts';
import { containerList } from '../../../../src/cri/present/container.ts';
import { RpcError } from '../../../../src/cri/call/status.ts';
import {
  StreamContainersRequestSchema,
  StreamContainersResponseSchema,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView } from '../stage.ts';

const NAME = 'runtime.v1.RuntimeService/StreamContainers';
const EVENTS = 'runtime.v1.RuntimeService/GetContainerEvents';
const request = toBinary(StreamContainersRequestSchema, create(StreamContainersRequestSchema));
const call = { signal: new AbortController().signal };

type StreamContainers = NonNullable<NonNullable<EdgeOptions['runtimeStreams']>['streamContainers']>;

function stream(
  streamContainers: StreamContainers,
  notReadyReason: () => string | undefined = () => undefined,
) {
  const clock = { nowNs: () => 0n, monoMs: () => 0 };
  return (
    edgeStreams({
      clock,
      random: { token: () => 'r' },
      log: silentLog,
      notReadyReason,
      runtimeStreams: { streamContainers },
    })[NAME] ?? fail('bug', 'no stream')
  );
}

const statusOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => (error instanceof RpcError ? error.status : error),
  );

describe('a streaming RPC at the edge', () => {
  test('encodes each message and waits until it is sent', async () => {
    const { promise: taken, resolve: take } = Promise.withResolvers<void>();
    const written: Uint8Array[] = [];
    let rest = 'not reached';
    const done = stream(async (_request, _context, write) => {
      await write({ containers: [{ id: 'one' }] });
      rest = 'reached';
      await write(
        toBinary(
          StreamContainersResponseSchema,
          create(StreamContainersResponseSchema, { containers: [{ id: 'two' }] }),
        ),
      );
    })(request, call, (bytes) => {
      written.push(bytes);
      return taken;
    });
    expect([written.length, rest]).toEqual([1, 'not reached']);
    take();
    await done;
    expect(
      written.map((bytes) =>
        fromBinary(StreamContainersResponseSchema, bytes).containers.map(({ id }) => id),
      ),
    ).toEqual([['one'], ['two']]);
  });

  test('ends with the status of its fault; a bug has no internal details', async () => {
    const broken = stream(() => fail('exhausted', 'events: too many'));
    expect(await statusOf(broken(request, call, () => Promise.resolve()))).toEqual({
      code: 'resourceExhausted',
      message: 'events: too many',
    });
    const wrong = stream(() => Promise.reject(new Error('secret')));
    expect(await statusOf(wrong(request, call, () => Promise.resolve()))).toMatchObject({
      code: 'internal',
      message: expect.not.stringContaining('secret') as string,
    });
    const gone = stream(async (_request, _context, write) => write({}));
    const cancelled = new FaultError(fault('cancelled', 'the caller has gone'));
    expect(await statusOf(gone(request, call, () => Promise.reject(cancelled)))).toMatchObject({
      code: 'cancelled',
    });
  });

  test('is refused while troupe is not ready, and when the request is invalid', async () => {
    const untouched: StreamContainers = () => Promise.reject(new Error('the handler was asked'));
    expect(
      await statusOf(stream(untouched, () => 'recovering')(request, call, () => Promise.resolve())),
    ).toMatchObject({ code: 'unavailable' });
    expect(
      await statusOf(stream(untouched)(new Uint8Array([0x0a, 0xff]), call, () => Promise.resolve())),
    ).toMatchObject({ code: 'invalidArgument' });
  });

  test('S78 lists in parts and other calls are counted together', async () => {
    const { promise: until, resolve } = Promise.withResolvers<object>();
    const options = {
      clock: { monoMs: () => 0 },
      random: { token: () => 'r' },
      log: silentLog,
      notReadyReason: () => undefined,
      runtime: { runPodSandbox: () => until },
      runtimeStreams: { streamContainers: () => Promise.resolve() },
    };
    const run = edgeMethods(options)['runtime.v1.RuntimeService/RunPodSandbox'] ?? fail('bug', 'no method');
    const list = edgeStreams(options)[NAME] ?? fail('bug', 'no stream');
    const calls = Array.from({ length: edgeLimits.inFlightCalls }, () => run(new Uint8Array(), call));
    expect(await statusOf(list(request, call, () => Promise.resolve()))).toMatchObject({
      code: 'resourceExhausted',
    });
    resolve({});
    await Promise.all(calls);
    expect(await statusOf(list(request, call, () => Promise.resolve()))).toBeUndefined();
  });

  test('F86: a stream of events beyond the bound is refused, and the next accepted when one has ended; lists in parts go on meanwhile', async () => {
    const ends: (() => void)[] = [];
    const streams = edgeStreams({
      clock: { monoMs: () => 0 },
      random: { token: () => 'r' },
      log: silentLog,
      notReadyReason: () => undefined,
      runtimeStreams: {
        getContainerEvents: () => new Promise<void>((resolve) => ends.push(resolve)),
        streamContainers: () => Promise.resolve(),
      },
    });
    const open = () =>
      streams[EVENTS]?.(new Uint8Array(), call, () => Promise.resolve()) ?? fail('bug', 'no stream');
    const all = Array.from({ length: edgeLimits.streams }, open);
    expect(await statusOf(open())).toMatchObject({ code: 'resourceExhausted' });
    expect(
      await statusOf(streams[NAME]?.(request, call, () => Promise.resolve()) ?? fail('bug', 'no stream')),
    ).toBeUndefined();
    ends.shift()?.();
    await all[0];
    const next = open();
    for (const end of ends) end();
    await Promise.all([...all, next]);
    expect(ends).toHaveLength(edgeLimits.streams);
  });
});

describe('a list in parts', () => {
  /** An entry is tag, length and message. */
  const HEAD_BYTES = 2;
  const sizes = new ListBytes<{ readonly bytes: number }>(({ bytes }) => new Uint8Array(bytes - HEAD_BYTES));
  const parts = (entries: readonly number[], itemsMax: number, bytesMax: number): number[] =>
    [
      ...sizes.batches(
        entries.map((bytes) => ({ bytes })),
        itemsMax,
        bytesMax,
      ),
    ].map((part) => part.length);

  test('I11: has each item once, in order, and at least one in every part', () => {
    const views = ['1', '2', '3', '4', '5'].map((digit) => containerView(containerId(digit)));
    const seen = [...containerList.batches(views, 2, 1_000_000)].map((part) =>
      fromBinary(StreamContainersResponseSchema, part).containers.map(({ id }) => id),
    );
    expect(seen).toEqual([[views[0]?.id, views[1]?.id], [views[2]?.id, views[3]?.id], [views[4]?.id]]);
  });

  test('keeps to the bound of bytes, and sends a larger item alone', () => {
    expect(parts([10, 10, 10, 10], 100, 30)).toEqual([30, 10]);
    expect(parts([10, 50, 10], 100, 30)).toEqual([10, 50, 10]);
    expect(parts([30], 100, 30)).toEqual([30]);
    expect(parts([], 100, 30)).toEqual([]);
  });
});
