// A daemon that takes over from the one that runs: no call fails, whoever of the two dies (F92).
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { checkout } from '../../support/tools/cache.ts';
import { run } from '../../support/run.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const CLIENTS = 4;
const REFUSED = 6;

interface Taker {
  readonly child: ChildProcess;
  readonly ended: Promise<number>;
  readonly log: () => Promise<string>;
}

let world: World;
let image: string;
let takers: Taker[];
let failures: string[];

beforeEach(async () => {
  world = await makeWorld({ name: 'tko', network: 'none' });
  image = await world.pull();
  takers = [];
  failures = [];
});

afterEach(async () => {
  for (const { child } of takers) child.kill('SIGKILL');
  // a daemon serves until it is stopped, and this process has not started these
  const began = /"pid":(\d+),[^\n]*"msg":"started a (?:successor|program)/gu;
  const successors = [...(await world.instance.log()).matchAll(began)].map(([, pid]) => Number(pid));
  await world.instance.kill();
  for (const pid of successors) if (isOurs(pid)) process.kill(pid, 'SIGKILL');
  await world.close();
});

/** Whether it is a daemon of this instance still, and not another process under its number. */
function isOurs(pid: number): boolean {
  const path = `/proc/${pid}/cmdline`;
  return existsSync(path) && readFileSync(path, 'utf8').includes(world.instance.directory);
}

/** Starts a daemon with `--take-over`, and more options, of which later ones win. */
function startTaker(...more: readonly string[]): Taker {
  const file = join(world.instance.directory, `taker${takers.length}.log`);
  const output = openSync(file, 'a');
  const [program, ...options] = world.instance.argv;
  const child = spawn(program, [...options, '--take-over', ...more], {
    stdio: ['ignore', output, output],
    cwd: '/',
  });
  closeSync(output);
  const ended = new Promise<number>((resolve) => void child.once('exit', (code) => resolve(code ?? -1)));
  const taker = { child, ended, log: () => readFile(file, 'utf8') };
  takers.push(taker);
  return taker;
}

const says = (log: () => Promise<string>, text: string): Promise<void> =>
  expect.poll(log, { timeout: EVENT_MS, interval: 10 }).toContain(text);
const SERVES = '"msg":"serving"';
const RELEASED = 'the other daemon has released the lock';

/** A client that runs pods one after the other until aborted; each failed call is noted. */
async function churn(name: string, until: AbortSignal): Promise<number> {
  const client = criClient(world.instance.socket);
  let pods = 0;
  try {
    while (!until.aborted) {
      await onePod(client, `${name}-${pods}`);
      pods += 1;
    }
  } catch (error) {
    failures.push(`${name}: ${String(error)}`);
  } finally {
    client.close();
  }
  return pods;
}

async function onePod({ runtime }: CriClient, name: string): Promise<void> {
  const logDirectory = join(world.logs, name);
  await mkdir(logDirectory);
  const config = sandboxConfig({ name, logDirectory, hostNetwork: true });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    config: containerConfig({ name: 'main', image, command: untilTermed(0), hostNetwork: true }),
    sandboxConfig: config,
  });
  await runtime.startContainer({ containerId });
  const { exitCode, stdout } = await runtime.execSync({ containerId, cmd: ['echo', name], timeout: 60n });
  if (exitCode !== 0 || Buffer.from(stdout).toString().trim() !== name)
    failures.push(`${name}: exec said ${exitCode}`);
  await runtime.stopContainer({ containerId, timeout: 5n });
  const { status } = await runtime.containerStatus({ containerId });
  if (status?.state !== ContainerState.CONTAINER_EXITED) failures.push(`${name}: not exited after its stop`);
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
}

/** Lists all the time; the longest time without an answer. */
async function list(until: AbortSignal): Promise<number> {
  const client = criClient(world.instance.socket);
  let longestMs = 0;
  try {
    while (!until.aborted) {
      const begunMs = performance.now();
      await client.runtime.listContainers({});
      longestMs = Math.max(longestMs, performance.now() - begunMs);
      await delay(5);
    }
  } catch (error) {
    failures.push(`list: ${String(error)}`);
  } finally {
    client.close();
  }
  return longestMs;
}

/** Runs the work while clients make pods and lists; they end after it. */
async function underLoad(work: () => Promise<void>): Promise<void> {
  const end = new AbortController();
  const clients = Array.from({ length: CLIENTS }, (_, at) => churn(`pod${at}`, end.signal));
  const listing = list(end.signal);
  try {
    await work();
  } finally {
    end.abort();
  }
  const pods = await Promise.all(clients);
  const longestMs = Math.round(await listing);
  process.stdout.write(
    `take-over: ${pods.reduce((sum, one) => sum + one)} pods, longest list ${longestMs} ms, ` +
      `${failures.length} failed calls\n`,
  );
  expect(failures).toEqual([]);
  const { items } = await world.client.runtime.listPodSandbox({});
  expect(items).toEqual([]);
}

describePods('take-over', () => {
  test('F92: two take-overs under load fail no call and break no session', async () => {
    const logDirectory = join(world.logs, 'long');
    await mkdir(logDirectory);
    const config = sandboxConfig({ name: 'long', logDirectory, hostNetwork: true });
    const { runtime } = world.client;
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: containerConfig({ name: 'main', image, command: untilTermed(0), hostNetwork: true }),
      sandboxConfig: config,
    });
    await runtime.startContainer({ containerId });
    // ends once the file is there, which is made after both take-overs
    const waits = ['sh', '-c', 'echo begun; while [ ! -e /go ]; do sleep 0.1; done; echo done'];
    const session = world.instance.crictl(['exec', containerId, ...waits]);
    const synchronous = runtime.execSync({ containerId, cmd: waits, timeout: 300n });
    const former = world.instance.ended();
    await underLoad(async () => {
      const first = startTaker();
      await says(first.log, SERVES);
      const second = startTaker();
      await says(second.log, SERVES);
      const { exitCode } = await runtime.execSync({ containerId, cmd: ['touch', '/go'], timeout: 60n });
      expect(exitCode).toBe(0);
      expect(await session).toMatchObject({ code: 0, stdout: 'begun\ndone\n' });
      expect(Buffer.from((await synchronous).stdout).toString()).toBe('begun\ndone\n');
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    });
    world.client.close();
    // what holds nothing any more ends by itself
    expect(await former).toBe(0);
    expect(await takers[0]?.ended).toBe(0);
  });

  test('F92: the new daemon is killed after the lock was released: a successor serves, no call fails', async (context) => {
    let isLate = false;
    const loaded = underLoad(async () => {
      const taker = startTaker();
      await says(taker.log, RELEASED);
      taker.child.kill('SIGKILL');
      await taker.ended;
      isLate = (await taker.log()).includes(SERVES);
      await says(world.instance.log, 'started a successor');
      await says(world.instance.log, 'another daemon serves');
    });
    await loaded.catch((thrown: unknown) => {
      // what it has accepted ends with it
      if (isLate) stoodStill(context, 'the daemon that took over served before it was killed');
      throw thrown;
    });
  });

  test('F92: the former daemon is killed after the lock was released: the new one serves', async () => {
    const { podSandboxId } = await world.client.runtime.runPodSandbox({
      config: sandboxConfig({ name: 'kept', logDirectory: world.logs, hostNetwork: true }),
    });
    const taker = startTaker();
    await says(taker.log, RELEASED);
    await world.instance.kill();
    await says(taker.log, SERVES);
    const { items } = await world.client.runtime.listPodSandbox({});
    expect(items.map(({ id }) => id)).toEqual([podSandboxId]);
  });

  test('a take-over of another instance is refused, and the daemon goes on', async () => {
    const other = join(world.instance.directory, 'other.sock');
    const taker = startTaker('--socket', other);
    expect(await taker.ended).toBe(REFUSED);
    expect(await taker.log()).toContain('another CRI socket');
    await underLoad(async () => {
      await world.client.runtime.version({});
    });
    expect(world.instance.pid()).toBeGreaterThan(0);
  });

  test('troupe upgrade replaces the daemon and says each step', async () => {
    const [program, , ...options] = world.instance.argv;
    const former = world.instance.ended();
    await underLoad(async () => {
      const { code, stdout, stderr } = await run([program, 'upgrade', ...options]);
      expect(stderr).toBe('');
      expect(stdout).toContain('serves');
      expect(code).toBe(0);
    });
    const bad = await run([program, 'upgrade', '--program', join(checkout, 'package.json'), ...options]);
    expect(bad.code).toBe(REFUSED);
    world.client.close();
    expect(await former).toBe(0);
  });
});
