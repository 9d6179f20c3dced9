// The service over its real socket and the client of the commands: what a person and a script get.
import { create } from '@bufbuild/protobuf';
import { createServer } from 'node:net';
import { link, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmptyActor } from 'xstate';
import { afterEach, describe, expect, it } from 'vitest';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import { Conditions } from '../../../src/base/conditions.ts';
import { introspectionLimits } from '../../../src/introspection/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { listenPrivately } from '../../../src/host/io/private-socket.ts';
import { introspectionClient, plainOf, problemOf } from '../../../src/introspection/client.ts';
import { FlightRecorder } from '../../../src/introspection/flight/flight.ts';
import { Recorder } from '../../../src/introspection/recorder.ts';
import { startIntrospection } from '../../../src/introspection/server.ts';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import { StatusResponseSchema } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import {
  containerId,
  containerSpec,
  containerView,
  podSpec,
  sandboxId,
  sandboxView,
} from '../../unit/cri/stage.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { EVENT_MS } from '../../support/patience.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function bench() {
  const clock = new HandClock(1000);
  const [recorder, directory, activity] = [new Recorder(clock), new Directory(), new Activity(clock)];
  recorder.attach(directory);
  const troupe = {
    handler: { ready: true, reason: '' },
    refusal: undefined as string | undefined,
    hasRecovered: true,
  };
  const conditions = new Conditions(silentLog);
  conditions.report({ type: 'DebrisRemoved', subject: '/trash/a', reason: 'EPERM' });
  const home = await mkdtemp(join(tmpdir(), 'troupe-introspection-'));
  ends.push(() => rm(home, { recursive: true }));
  const socket = join(home, 'introspection.sock');
  const server = await startIntrospection({
    recorder,
    flight: new FlightRecorder({ clock, version: 'test', pid: 1 }),
    history: undefined,
    activity,
    clock,
    charts: troupeCharts,
    version: '1.2.3',
    process: { pid: 42, startedNs: 7n, rssBytes: () => 1024 },
    socket: '/run/cri.sock',
    configView: () => ({ root: '/var/lib/troupe' }),
    configRefusal: () => troupe.refusal,
    configWaiting: () => ['root'],
    formerDaemons: () => [{ pid: 41, version: '1.2.2', sinceNs: 6n, sessions: 3 }],
    configFiles: () => ['/etc/troupe/troupe.toml'],
    page: () => ({ origin: 'http://127.0.0.1:10010', tokenFile: '/run/troupe/introspection.token' }),
    lostFacts: 'the journal was damaged',
    disks: () => Promise.resolve([]),
    conditions,
    troupe: {
      directory,
      activity,
      notReadyReason: () => undefined,
      hasRecovered: () => troupe.hasRecovered,
      writeRefusal: () => undefined,
      networkStatus: () => ({ ready: false, reason: 'NetworkPluginNotReady', message: 'no configuration' }),
      handlers: () => [{ name: '', ...troupe.handler, recursiveReadOnlyMounts: true, userNamespaces: true }],
      images: () => [],
    } as Partial<Troupe> as Troupe,
    listen: (onConnection) =>
      listenPrivately({ path: socket, clock, log: silentLog, onConnection, allowHalfOpen: true }),
  });
  ends.push(() => server.close());
  const step = (address: string, from: string, to: string): void =>
    recorder.note({ address, from, to, on: 'test', cause: 'StopContainer r1', settled: true, final: false });
  return {
    parts: troupe,
    clock,
    recorder,
    directory,
    activity,
    step,
    socket,
    client: introspectionClient(socket, EVENT_MS),
  };
}

const pod = sandboxView(sandboxId('a'));
const app = containerView(containerId('c'), { path: 'stopping.killing', state: 'stopping', settled: false });

describe('List and Explain', () => {
  it('show what an actor waits on, with the process, since when and until when', async () => {
    const { clock, directory, activity, step, client } = await bench();
    directory.put(pod, createEmptyActor());
    directory.put(app, createEmptyActor());
    step(app.address, 'running', 'stopping.killing');
    const release = new AbortController();
    const effect = activity.run(app.address, 'kill', 30_000, release.signal, (fx) => {
      fx.note({ on: 'runc kill', argv: ['/usr/sbin/runc', 'kill'], pid: process.pid });
      return new Promise<void>((resolve) => fx.signal.addEventListener('abort', () => resolve()));
    });
    await clock.advance(2000);
    const { actor, history, related } = await client.explain({ query: 'main' });
    expect(actor).toMatchObject({
      name: 'main',
      state: 'stopping.killing',
      settled: false,
      sandboxId: sandboxId('a'),
      pid: 4711n,
      chart: 'container',
    });
    expect(actor?.waits).toMatchObject([
      {
        effect: 'kill',
        on: 'runc kill',
        argv: ['/usr/sbin/runc', 'kill'],
        pid: BigInt(process.pid),
        sinceNs: 1_000_000_000n,
        deadlineNs: 31_000_000_000n,
      },
    ]);
    expect(actor?.waits[0]?.processState).toMatch(/^[RSD]$/u);
    expect(history).toMatchObject([
      { from: 'running', to: 'stopping.killing', on: 'test', cause: 'StopContainer r1' },
    ]);
    expect(related.map(({ address }) => address)).toEqual([pod.address]);
    const listed = await client.list({});
    expect(listed.actors.map(({ address }) => address)).toEqual([pod.address, app.address]);
    expect((await client.list({ kind: 'sandbox' })).actors).toHaveLength(1);
    release.abort();
    await effect;
    expect((await client.explain({ query: 'main' })).actor?.waits).toEqual([]);
  });

  it('say while the daemon recovers that what is missing may exist', async () => {
    const { parts, directory, client } = await bench();
    const problemWith = async () =>
      problemOf(await client.explain({ query: 'main' }).catch((thrown: unknown) => thrown));
    parts.hasRecovered = false;
    expect(await client.list({})).toMatchObject({ actors: [], recovering: true });
    expect(await problemWith()).toMatchObject({
      problem: 'failed',
      message: expect.stringContaining('not found yet'),
    });
    directory.put(app, createEmptyActor());
    expect((await client.explain({ query: 'main' })).actor?.address).toBe(app.address);
    parts.hasRecovered = true;
    expect(await client.list({})).toMatchObject({ actors: [{ address: app.address }], recovering: false });
  });

  it('find a removed actor by name for ten minutes, with its history', async () => {
    const { clock, directory, step, client } = await bench();
    directory.put(app, createEmptyActor());
    step(app.address, '', 'exited');
    directory.drop({ ...app, state: 'exited', path: 'exited' });
    await clock.advance(introspectionLimits.tombstoneMs);
    const { actor, history } = await client.explain({ query: 'main' });
    expect(actor).toMatchObject({ state: 'gone', removedNs: 1_000_000_000n });
    expect(history).toHaveLength(1);
    await clock.advance(1);
    expect(
      problemOf(await client.explain({ query: 'main' }).catch((thrown: unknown) => thrown)),
    ).toMatchObject({ problem: 'notFound' });
  });

  it('show no environment, no arguments, no labels, no annotations (I20)', async () => {
    const { directory, client } = await bench();
    const canary = 'canary-7f3a';
    const secret = { A_SECRET: canary };
    directory.put(
      sandboxView(sandboxId('a'), { spec: { ...podSpec, labels: secret, annotations: secret } }),
      createEmptyActor(),
    );
    const spec = {
      ...containerSpec,
      env: [{ name: 'A', value: canary }],
      command: [canary],
      args: [canary],
      labels: secret,
      annotations: secret,
    };
    directory.put(containerView(containerId('c'), { spec }), createEmptyActor());
    const reported = JSON.stringify([
      plainOf(await client.list({})),
      plainOf(await client.explain({ query: 'main' })),
      plainOf(await client.status({})),
    ]);
    expect(reported).toContain(containerId('c'));
    expect(reported).not.toContain(canary);
  });
});

describe('Watch', () => {
  it('resumes behind the number of a list, and continues live', async () => {
    const { step, client } = await bench();
    step('container/1', '', 'a');
    const { seq } = await client.list({});
    step('container/1', 'a', 'b');
    const stream = client.watch({ afterSeq: seq }, { timeoutMs: 0 })[Symbol.asyncIterator]();
    expect(await stream.next()).toMatchObject({ value: { from: 'a', to: 'b', seq: seq + 1n } });
    const following = stream.next();
    step('container/1', 'b', 'c');
    expect(await following).toMatchObject({ value: { to: 'c', seq: seq + 2n } });
    await stream.return?.();
  });

  it('names the actor of a change, also of a removed one, with the reason of an exit or a failure', async () => {
    const { directory, recorder, client } = await bench();
    directory.put(pod, createEmptyActor());
    directory.put(app, createEmptyActor());
    const { seq } = await client.list({});
    const note = (address: string, more: object): void =>
      recorder.note({
        address,
        from: 'a',
        to: 'b',
        on: 'x',
        cause: '',
        settled: true,
        final: false,
        ...more,
      });
    note(app.address, { exit: { exitCode: 3, reason: 'Error' } });
    note(pod.address, { fault: 'CNI DEL: busy' });
    directory.drop(app);
    note(app.address, {});
    const stream = client.watch({ afterSeq: seq }, { timeoutMs: 0 })[Symbol.asyncIterator]();
    const { name: podName, namespace } = pod.spec.key;
    const names = { name: 'main', pod: podName, namespace };
    expect(await stream.next()).toMatchObject({
      value: { ...names, hasExited: true, exitCode: 3, exitReason: 'Error', fault: '' },
    });
    expect(await stream.next()).toMatchObject({ value: { name: podName, pod: '', fault: 'CNI DEL: busy' } });
    expect(await stream.next()).toMatchObject({ value: { ...names, hasExited: false } });
    await stream.return?.();
  });

  it('ends a slow reader after a whole change, from which it resumes without a gap', async () => {
    const { step, client } = await bench();
    const total = introspectionLimits.watchQueue * 2;
    // all at once, before the stream can send any of them
    for (let at = 0; at < total; at += 1) step('container/1', String(at), String(at + 1));
    const seen: bigint[] = [];
    const problems: string[] = [];
    for (let last = 1n; seen.length < total; last = seen.at(-1) ?? 1n) {
      try {
        for await (const { seq } of client.watch({ afterSeq: last }, { timeoutMs: 0 })) {
          seen.push(seq);
          if (seen.length === total) break;
        }
      } catch (thrown) {
        problems.push(problemOf(thrown).problem);
      }
    }
    expect(seen).toEqual(Array.from({ length: total }, (_, at) => BigInt(at + 2)));
    expect(problems).toEqual(['overflown']);
  });

  it('refuses a forgotten number, and one of another daemon, with the reason', async () => {
    const { step, client, recorder } = await bench();
    for (let at = 0; at < introspectionLimits.changes + 2; at += 1) step('container/1', '', String(at));
    const problem = async (afterSeq: bigint): Promise<string> => {
      try {
        for await (const _change of client.watch({ afterSeq }, { timeoutMs: 0 })) return 'got a change';
        return 'ended';
      } catch (thrown) {
        return problemOf(thrown).problem;
      }
    };
    expect(await problem(2n)).toBe('forgotten');
    expect(await problem(recorder.seq + 1n)).toBe('forgotten');
    expect(await problem(recorder.seq - 1n)).toBe('got a change');
  });

  it('ends in the daemon when the client disconnects', async () => {
    const { step, client, recorder } = await bench();
    const gone = new AbortController();
    const ended = (async () => {
      for await (const _change of client.watch({ afterSeq: 1n }, { signal: gone.signal, timeoutMs: 0 }))
        gone.abort();
    })();
    step('container/1', '', 'a');
    await expect(ended).rejects.toThrow();
    // every place is free again once the stream's end has come to the daemon
    const places = (): boolean => {
      const stops: (() => void)[] = [];
      try {
        for (let at = 0; at < introspectionLimits.watchers; at += 1)
          stops.push(recorder.watch(0n, () => undefined));
        return true;
      } catch {
        return false;
      } finally {
        for (const stop of stops) stop();
      }
    };
    await expect.poll(places).toBe(true);
    await turns();
  });
});

describe('the rest', () => {
  it('Charts lists all machines with an address', async () => {
    const { client } = await bench();
    const { charts } = await client.charts({});
    expect(charts.map(({ id, states }) => [id, states.length > 3])).toEqual([
      ['sandbox', true],
      ['container', true],
      ['image-pull', true],
    ]);
  });

  it('Status shows the daemon, why the network is not ready, the configuration', async () => {
    const { client } = await bench();
    expect(plainOf(await client.status({}))).toEqual({
      ...(plainOf(create(StatusResponseSchema)) as object),
      configFiles: ['/etc/troupe/troupe.toml'],
      pageOrigin: 'http://127.0.0.1:10010',
      pageTokenFile: '/run/troupe/introspection.token',
      version: '1.2.3',
      configWaiting: ['root'],
      formerDaemons: [{ pid: 41, version: '1.2.2', sinceNs: '6', sessions: 3 }],
      pid: 42,
      startedNs: '7',
      networkReady: false,
      networkMessage: 'no configuration',
      rssBytes: 1024,
      handlers: [{ name: '', ready: true, reason: '', choice: '', flaws: '', version: '' }],
      configJson: '{"root":"/var/lib/troupe"}',
      socket: '/run/cri.sock',
      lostFacts: 'the journal was damaged',
      conditions: [{ type: 'DebrisRemoved', reason: 'DebrisLeft', message: '/trash/a: EPERM', count: 1 }],
    });
  });

  it('Status is not ready where that of the CRI is not, and names a refused configuration', async () => {
    const { client, parts } = await bench();
    parts.handler = { ready: false, reason: 'handler runc: /usr/sbin/runc: not found' };
    parts.refusal = 'unknown key log.colour';
    const { notReadyReason, conditions } = await client.status({});
    expect(notReadyReason).toBe('handler runc: /usr/sbin/runc: not found');
    expect(conditions.map(({ type, message }) => `${type}: ${message}`)).toContain(
      'ConfigurationReloaded: unknown key log.colour',
    );
  });

  it('a client reports an unreachable daemon: a missing socket, and one without a listener', async () => {
    const { socket } = await bench();
    const ask = (path: string): Promise<string> =>
      introspectionClient(path, 1000)
        .status({})
        .then(
          () => 'answered',
          (thrown: unknown) => problemOf(thrown).problem,
        );
    expect(await ask(`${socket}.none`)).toBe('unreachable');
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(`${socket}.dead`, resolve));
    // Node unlinks the path with the close of its listener: a link keeps it
    await link(`${socket}.dead`, `${socket}.stale`);
    await new Promise<void>((resolve) => listener.close(() => resolve()));
    expect(await ask(`${socket}.stale`)).toBe('unreachable');
  });
});
