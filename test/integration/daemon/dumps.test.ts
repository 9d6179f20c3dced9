// Dumps of a real daemon, by signal and by `troupe dump`: while all is well, while something hangs, and while it starts
// and stops.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterEach, expect, it } from 'vitest';
import { EXIT } from '../../../src/daemon/cli/exit-codes.ts';
import { bundleFiles } from '../../../src/daemon/cli/read-recording.ts';
import { ContainerConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { World } from '../../e2e/support/world.ts';
import { canary, findBelow, findInBytes } from '../../support/canaries.ts';
import { makeDisk, whyNoFrozenDisk } from '../../support/frozen-disk.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import { lacking, notRoot, unless } from '../../support/skips/unless.ts';
import { holdThreads } from '../../support/tracer/held-threads.ts';
import { closeWorld, makePod, removePod } from './pod.ts';
import { criClient } from '../../../scripts/support/cri-client.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function instanceOf(options: Partial<Parameters<typeof makeInstance>[0]> = {}): Promise<Instance> {
  const instance = await makeInstance({ name: 'dump', network: 'none', ...options });
  closing.push(() => instance.remove());
  return instance;
}

/** Runs a command with the places of the instance. */
const troupe = ({ argv: [program, , ...places] }: Instance, ...words: readonly string[]) =>
  run([program, ...words, ...places]);

interface Shown {
  readonly actors: readonly { readonly waits: readonly object[] }[];
  readonly threads: readonly object[];
}

async function dumpOf(instance: Instance, ...words: readonly string[]) {
  const { code, stdout, stderr } = await troupe(instance, 'dump', ...words);
  expect([code, stderr]).toEqual([0, '']);
  const path = stdout.trim();
  return { path, shown: JSON.parse(readFileSync(path, 'utf8')) as Shown };
}

/** Both dumps are in a support bundle, and none of the secrets is. */
async function isInBundle(
  instance: Instance,
  dumps: readonly string[],
  secrets: readonly string[],
): Promise<void> {
  const bundle = join(instance.directory, 'bundle.tar.gz');
  expect((await troupe(instance, 'support-bundle', bundle)).code).toBe(0);
  const packed = bundleFiles(readFileSync(bundle));
  for (const one of dumps)
    expect(packed.get(`troupe-support/dumps/${basename(one)}`)).toBe(readFileSync(one, 'utf8'));
  for (const text of packed.values()) expect(findInBytes(Buffer.from(text), secrets)).toEqual([]);
}

/** Inodes of the TCP sockets on which the process listens. */
function listeningOn(pid: number): readonly string[] {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/u.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'latin1').split('\n'),
  );
  const listening = lines.map((line) => line.trim().split(/\s+/u)).filter(([, , , state]) => state === '0A');
  return listening.map((fields) => fields[9] ?? '').filter((inode) => own.has(inode));
}

/**
 * Whether the signal does not end the process: it has a handler, or Node blocks it in all threads until it has one.
 * Node does so with SIGUSR1 alone; any other is blocked for a moment, in one thread, while libuv or glibc start
 * something.
 */
function isSafe(pid: number, signal: number): boolean {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  const isIn = (mask: 'SigBlk' | 'SigCgt'): boolean => {
    const found = new RegExp(`^${mask}:\\s*([0-9a-f]+)$`, 'mu').exec(text)?.[1] ?? '0';
    return (BigInt(`0x${found}`) & (1n << BigInt(signal - 1))) !== 0n;
  };
  return isIn('SigCgt') || (signal === constants.signals.SIGUSR1 && isIn('SigBlk'));
}

/** Asks for both dumps as early as it is safe, again and again until the promise is settled. */
async function signalUntil(instance: Instance, settled: Promise<unknown>): Promise<number> {
  let isSettled = false;
  void settled.then(
    () => (isSettled = true),
    () => (isSettled = true),
  );
  let sent = 0;
  while (!isSettled) {
    await new Promise((resolve) => void setImmediate(resolve));
    for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
      try {
        const pid = instance.pid();
        if (!isSafe(pid, constants.signals[signal])) continue;
        process.kill(pid, signal);
        sent += 1;
      } catch {
        // it does not run yet, or any more
      }
    }
  }
  return sent;
}

unless(it, notRoot())(
  'S91: says what a daemon does, in files for root alone, without words of containers',
  async () => {
    const [argument, command] = [canary('argument'), canary('command')];
    const world: World = await makeWorld({ name: 'dumpw', network: 'host-only', stateInMemory: true });
    closing.push(async () => expect(await closeWorld(world)).toEqual([]));
    const { instance, client } = world;
    const { sandboxId, containerId } = await makePod(world, 'web');
    await client.runtime.startContainer({ containerId });
    const broken = create(
      ContainerConfigSchema,
      containerConfig({
        name: 'broken',
        image: await world.pull(),
        command: [`/${command}`],
        hostNetwork: true,
      }),
    );
    const config = sandboxConfig({ name: 'web', logDirectory: `${world.logs}/web`, hostNetwork: true });
    await expect(
      client.runtime.createContainer({ podSandboxId: sandboxId, config: broken, sandboxConfig: config }),
    ).rejects.toThrow(command);
    const cmd = ['sh', '-c', 'touch /ready; while [ ! -e /go ]; do sleep 0.1; done', argument];
    const exec = client.runtime.execSync({ containerId, cmd, timeout: 600n });
    const isReady = async (): Promise<number> =>
      (await client.runtime.execSync({ containerId, cmd: ['ls', '/ready'], timeout: 60n })).exitCode;
    await expect.poll(isReady, { timeout: EVENT_MS }).toBe(0);
    const { path, shown } = await dumpOf(instance);
    expect(shown).toMatchObject({
      phase: 'serving',
      pid: instance.pid(),
      calls: [{ method: 'ExecSync' }],
      effects: { execSync: 1 },
      journal: { queued: 0, diskCall: null },
      kernelThread: { orders: [] },
      actors: [
        { address: `container/${containerId}`, waits: [{ effect: 'execSync' }] },
        { address: `sandbox/${sandboxId}`, state: 'ready' },
      ],
    });
    const heap = await dumpOf(instance, '--heap');
    expect(heap.shown).toMatchObject({
      kept: { sandboxes: { ready: 1 }, containers: { running: 1 }, images: 1, calls: 1, streams: 0 },
      heap: { used_heap_size: expect.any(Number) as number },
    });
    const directory = join(instance.state, 'dumps');
    expect([directory, path, heap.path].map((one) => statSync(one).mode & 0o777)).toEqual([
      0o700, 0o600, 0o600,
    ]);
    expect(await instance.log()).toMatch(
      /"kind":"state","file":"[^"]*\/dumps\/state-[^"]*","bytes":\d+,"ms":\d+,"msg":"wrote a dump"/u,
    );
    await isInBundle(instance, [path, heap.path], [argument, command]);
    expect(await findBelow(directory, [argument, command])).toEqual([]);
    await client.runtime.execSync({ containerId, cmd: ['touch', '/go'], timeout: 60n });
    await exec;
    await removePod(world, sandboxId);
  },
);

unless(it, notRoot())('S83: signals harm neither a start nor a stop, and open no inspector', async () => {
  const instance = await instanceOf();
  const starting = instance.start();
  expect(await signalUntil(instance, starting)).toBeGreaterThan(0);
  await starting;
  const { path } = await dumpOf(instance);
  // the server of streams
  expect(listeningOn(instance.pid())).toHaveLength(1);
  expect(await instance.log()).not.toMatch(/debugger/iu);
  const stopping = instance.terminate();
  expect(await signalUntil(instance, stopping)).toBeGreaterThan(0);
  expect(await stopping).toBe(0);
  // each is whole
  const names = readdirSync(join(path, '..'));
  expect(names.filter((name) => !name.endsWith('.json'))).toEqual([]);
  for (const name of names) JSON.parse(readFileSync(join(path, '..', name), 'utf8'));
  await instance.start();
});

unless(it, notRoot())('comes while the kernel thread hangs, and the one in its place', async () => {
  const instance = await instanceOf();
  await instance.start();
  closing.push(await holdThreads(instance.pid(), 'WorkerThread', 'all'));
  const { shown } = await dumpOf(instance);
  expect(shown.threads).toContainEqual(expect.objectContaining({ name: 'WorkerThread', state: 't' }));
});

unless(it, lacking('/dev/shm'))(
  'comes while the thread pool hangs, without the states of the processes that actors wait for',
  async () => {
    const state = mkdtempSync('/dev/shm/troupe-dumps-');
    closing.push(() => rmSync(state, { recursive: true }));
    const program = join(import.meta.dirname, 'hung-pool.ts');
    const { code, stdout, stderr } = await run([process.execPath, program, state], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    });
    expect([code, stderr]).toEqual([0, '']);
    const shown = JSON.parse(readFileSync(stdout, 'utf8')) as Shown;
    expect(shown.actors).toMatchObject([{ waits: [{ effect: 'makeFiles', on: 'mkdir' }] }]);
    expect(shown.actors[0]?.waits[0]).not.toHaveProperty('processState');
    expect(shown.threads).toContainEqual(
      expect.objectContaining({ name: 'libuv-worker', waitsIn: 'wait_for_partner' }),
    );
  },
);

unless(it, whyNoFrozenDisk())('F91 comes while the journal’s disk hangs, and names its call', async () => {
  const instance = await instanceOf({ stateInMemory: true });
  const disk = makeDisk(instance.root);
  closing.push(() => disk.remove());
  await instance.start();
  const { runtime, close } = criClient(instance.socket);
  closing.push(close);
  disk.freeze();
  const config = sandboxConfig({ name: 'pod', logDirectory: instance.directory, hostNetwork: true });
  const running = runtime.runPodSandbox({ config });
  const journal = async (): Promise<unknown> => (await dumpOf(instance)).shown;
  await expect.poll(journal, { timeout: EVENT_MS }).toMatchObject({
    journal: { diskCall: { name: 'write' } },
    calls: [{ method: 'RunPodSandbox' }],
    effects: { recordIntent: 1 },
    threads: expect.arrayContaining([expect.objectContaining({ name: 'libuv-worker', state: 'D' })]) as [],
  });
  disk.thaw();
  const { podSandboxId } = await running;
  await runtime.removePodSandbox({ podSandboxId });
});

unless(it, notRoot())('names the threads of a daemon whose event loop stands still', async () => {
  const instance = await instanceOf();
  await instance.start();
  process.kill(instance.pid(), 'SIGSTOP');
  closing.push(() => process.kill(instance.pid(), 'SIGCONT'));
  const { code, stdout, stderr } = await troupe(instance, 'dump');
  expect([code, stdout]).toEqual([EXIT.failed, '']);
  expect(stderr).toMatch(/has written none for 15 s\n {2}its event loop was stopped by a signal\n/u);
});

unless(it, notRoot() || lacking('/usr/bin/flock'))(
  'sends nothing to a process that the signal would end, and says when none runs',
  async () => {
    const instance = await instanceOf();
    expect(await troupe(instance, 'dump')).toMatchObject({ code: EXIT.unreachable, stdout: '' });
    mkdirSync(instance.root);
    // what holds the lock of the root is the daemon, as far as the command knows
    const holder = spawn('/usr/bin/flock', [instance.root, 'sh', '-c', 'echo locked; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const ended = new Promise((resolve) => void holder.once('exit', resolve));
    closing.push(async () => {
      process.kill(-(holder.pid ?? 0), 'SIGKILL');
      await ended;
    });
    await new Promise((resolve) => void holder.stdout.once('data', resolve));
    expect(await troupe(instance, 'dump')).toMatchObject({
      code: EXIT.failed,
      stderr: `troupe dump: process ${holder.pid} does not take SIGUSR1: nothing was sent\n`,
    });
    expect(holder.exitCode ?? holder.signalCode).toBeNull();
  },
);
