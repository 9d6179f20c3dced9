import { createEmptyActor } from 'xstate';
import { describe, expect, test } from 'vitest';
import { Directory } from '../../../../src/actors/directory/directory.ts';
import type { ContainerView, SandboxView } from '../../../../src/actors/directory/views.ts';
import { FaultError } from '../../../../src/base/fault.ts';
import { edgeLimits } from '../../../../src/cri/bounds.ts';
import type { EventStream } from '../../../../src/cri/call/event-feed.ts';
import { EventFeed } from '../../../../src/cri/call/event-feed.ts';
import { podEvent } from '../../../../src/cri/present/event.ts';
import { podSandboxStatus } from '../../../../src/cri/runtime/pod-sandbox-status.ts';
import { ContainerEventType, RuntimeService } from '../../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, sandboxId, sandboxView, stage } from '../stage.ts';

const S = sandboxId('a');
const C = containerId('c');
const never = new AbortController().signal;
const ref = createEmptyActor();

/** A feed whose clock says these times one after the other, the last one for ever. */
function feedAt(directory: Directory, ...timesNs: bigint[]): EventFeed {
  const nowNs = (): bigint => (timesNs.length > 1 ? (timesNs.shift() ?? 0n) : (timesNs[0] ?? 0n));
  return new EventFeed(directory, { nowNs }, { id: 'a' });
}

const created: ContainerView = containerView(C, {
  criState: 'created',
  state: 'created',
  startedAtNs: undefined,
});
const running: ContainerView = containerView(C);
const exited: ContainerView = containerView(C, { criState: 'exited', state: 'exited' });
const pod: SandboxView = sandboxView(S);

const words = async (stream: EventStream): Promise<string[]> =>
  (await stream.take(never)).map(({ id, type }) => `${id === S ? 'pod' : 'main'} ${type}`);

describe('I11: one event for each step', () => {
  test('of a container and of its pod, in the order of the changes', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    for (const view of [
      pod,
      created,
      running,
      containerView(C, { path: 'stopping.waiting', state: 'stopping' }),
      exited,
    ])
      directory.put(view, ref);
    directory.drop(containerView(C, { state: 'gone', listed: false }));
    directory.put(sandboxView(S, { ready: false, state: 'stopping' }), ref);
    directory.put(sandboxView(S, { ready: false, state: 'notReady' }), ref);
    directory.drop(sandboxView(S, { ready: false, listed: false, state: 'gone' }));
    expect(await words(stream)).toEqual([
      'pod created',
      'pod started',
      'main created',
      'main started',
      'main stopped',
      'main deleted',
      'pod stopped',
      'pod deleted',
    ]);
  });

  test('also for unlisted steps: those that were never listed one by one come together', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    directory.put(containerView(C, { listed: false }), ref);
    directory.put(exited, ref);
    expect(await words(stream)).toEqual(['main created', 'main started', 'main stopped']);
  });

  test('a container that ended before its start has no start event', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    directory.put(created, ref);
    directory.put(containerView(C, { criState: 'exited', state: 'exited', startedAtNs: undefined }), ref);
    expect(await words(stream)).toEqual(['main created', 'main stopped']);
  });

  test('an unlisted container that is undone has no event; one that leaves the lists is deleted once', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    directory.put(containerView(containerId('d'), { listed: false }), ref);
    directory.drop(containerView(containerId('d'), { listed: false }));
    directory.put(created, ref);
    directory.put({ ...created, listed: false, state: 'unwinding' }, ref);
    directory.drop({ ...created, listed: false, state: 'gone' });
    expect(await words(stream)).toEqual(['main created', 'main deleted']);
  });

  test('what existed before the stream sends no event', async () => {
    const directory = new Directory();
    directory.put(pod, ref);
    const feed = feedAt(directory, 5n);
    directory.put(running, ref);
    const stream = feed.open();
    directory.put(exited, ref);
    expect(await words(stream)).toEqual(['main stopped']);
  });
});

describe('an event', () => {
  test('I11: shows the pod and its listed containers as they are right after the change', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    directory.put(pod, ref);
    directory.put(containerView(containerId('d'), { listed: false }), ref);
    directory.put(running, ref);
    directory.drop(containerView(C, { listed: false }));
    const events = await stream.take(never);
    expect(events.slice(2).map(({ sandbox, containers }) => [sandbox, containers])).toEqual([
      [pod, [running]],
      [pod, [running]],
      [pod, []],
    ]);
    expect(podEvent(events[2] as never, () => undefined)).toMatchObject({
      containerId: C,
      containerEventType: ContainerEventType.CONTAINER_CREATED_EVENT,
      podSandboxStatus: { id: S },
      containersStatuses: [{ id: C }],
    });
  });

  test('has the newest container first, as has PodSandboxStatus: the kubelet takes the first of a name', async () => {
    const { directory, put, send } = stage();
    put(pod);
    const attempts = ['d', 'b', 'e'].map((digit, at) =>
      containerView(containerId(digit), { createdAtNs: 1_600_000_000_000_000_000n + BigInt(at) }),
    );
    const stream = feedAt(directory, 5n).open();
    put(...attempts);
    const event = (await stream.take(never)).at(-1);
    const newestFirst = ['e', 'b', 'd'].map(containerId);
    const { containersStatuses } = podEvent(event as never, () => undefined);
    expect(containersStatuses?.map(({ id }) => id)).toEqual(newestFirst);
    // only while a client receives events
    expect(
      (await send(RuntimeService.method.podSandboxStatus, { podSandboxId: S })).containersStatuses,
    ).toEqual([]);
    const handler = podSandboxStatus({ troupe: { directory, findImage: () => undefined } as never }, {
      isWatched: true,
      stampNs: () => 6n,
    } as never);
    const answer = await handler({ podSandboxId: S, verbose: false } as never, undefined as never);
    expect(
      (answer as { containersStatuses: { id: string }[] }).containersStatuses.map(({ id }) => id),
    ).toEqual(newestFirst);
  });

  test('of a container whose sandbox is gone has no pod', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    directory.put(created, ref);
    const [event] = await stream.take(never);
    expect(podEvent(event as never, () => undefined)).not.toHaveProperty('podSandboxStatus');
  });

  test('F86: has a later time than the one before, also when the wall clock is set back', async () => {
    const directory = new Directory();
    // the first reading is its own, at its start
    const feed = feedAt(directory, 1n, 100n, 40n, 41n, 300n);
    const stream = feed.open();
    for (const view of [created, running, exited]) directory.put(view, ref);
    expect((await stream.take(never)).map((event) => event.createdAtNs)).toEqual([100n, 101n, 102n]);
    expect(feed.stampNs()).toBe(300n);
  });
});

describe('a stream', () => {
  test('F86: that is too far behind loses all events with an error, and the others go on', async () => {
    const directory = new Directory();
    const feed = feedAt(directory, 5n);
    const slow = feed.open(2);
    const quick = feed.open();
    for (const view of [created, running, exited]) directory.put(view, ref);
    const thrown = await slow.take(never).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(FaultError);
    expect((thrown as FaultError).fault).toMatchObject({
      kind: 'exhausted',
      message: 'send events: the client is more than 2 events behind, list again',
    });
    expect(await words(quick)).toEqual(['main created', 'main started', 'main stopped']);
    quick.close();
    expect(feed.isWatched).toBe(false);
  });

  test('F86: the events that it loses are counted once for each client', () => {
    const directory = new Directory();
    const dropped: number[] = [];
    const options = { id: 'a', dropped: (events: number) => void dropped.push(events) };
    const feed = new EventFeed(directory, { nowNs: () => 5n }, options);
    feed.open(2);
    feed.open(1);
    for (const view of [created, running, exited]) directory.put(view, ref);
    expect(dropped).toEqual([2, 3]);
  });

  test('waits for events, and rejects with the reason on abort', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    const waiting = stream.take(never);
    directory.put(created, ref);
    expect(await waiting).toHaveLength(1);
    const abort = new AbortController();
    const aborted = stream.take(abort.signal);
    const reason = new Error('gone');
    abort.abort(reason);
    await expect(aborted).rejects.toBe(reason);
  });

  test('counts as watching until it is closed; nothing is collected without a watcher', () => {
    const feed = feedAt(new Directory(), 5n);
    expect(feed.isWatched).toBe(false);
    const stream = feed.open();
    expect(feed.isWatched).toBe(true);
    stream.close();
    expect(feed.isWatched).toBe(false);
  });
});

describe('S85 events that wait for a client', () => {
  const large = (at: number): ContainerView => {
    const id = at.toString(16).padStart(64, '0') as ContainerView['id'];
    const view = containerView(id);
    return {
      ...view,
      criState: 'created',
      address: `container/${id}`,
      spec: { ...view.spec, annotations: { note: 'x'.repeat(edgeLimits.eventQueueBytes / 32) } },
    };
  };

  test('S85 counts what its events share once: the start of a full node with large specs is kept', async () => {
    const directory = new Directory();
    const stream = feedAt(directory, 5n).open();
    const annotations = { note: 'x'.repeat(256 * 1024) };
    const env = Array.from({ length: 1000 }, (_none, at) => ({
      name: `VARIABLE_${at}`,
      value: 'v'.repeat(40),
    }));
    for (let at = 0; at < 110; at += 1) {
      const id = at.toString(16).padStart(64, '0') as SandboxView['id'];
      directory.put({ ...pod, id, address: `sandbox/${id}`, spec: { ...pod.spec, annotations } }, ref);
      for (let one = 0; one < 10; one += 1) {
        const own = `c${at.toString(16)}${one}`.padStart(64, '0') as ContainerView['id'];
        const spec = { ...created.spec, key: { ...created.spec.key, sandboxId: id }, env };
        for (const view of [created, running])
          directory.put({ ...view, id: own, address: `container/${own}`, spec }, ref);
      }
    }
    expect(await stream.take(never)).toHaveLength(2420);
  });

  test('S85 is bounded by what its events keep, of pods that have gone, too', async () => {
    const directory = new Directory();
    const feed = feedAt(directory, 5n);
    const [slow, quick] = [feed.open(), feed.open()];
    for (let at = 0; at < 40; at += 1) {
      directory.put(large(at), ref);
      directory.drop({ ...large(at), listed: false });
      expect(await quick.take(never)).toHaveLength(2);
    }
    await expect(slow.take(never)).rejects.toThrow(/more than 134217728 bytes of events behind, list again/u);
  });
});
