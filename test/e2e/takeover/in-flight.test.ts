// What is in flight when a daemon takes over: it goes on here, is aborted and done anew, or goes on there (F92).
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, type TestContext } from 'vitest';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { takeOverLimits } from '../../../src/daemon/bounds.ts';
import { Link } from '../../../src/daemon/takeover/link.ts';
import { TAKE_OVER_PROTOCOL } from '../../../src/daemon/takeover/messages.ts';
import { instanceOf } from '../../../src/daemon/wiring/instance-of.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { faultOf } from '../../support/fault-of.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { FREEZES, lineOf, RELEASED, says, SERVES, Successors } from '../handover/successors.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const RUNC = '/usr/sbin/runc';
const REFUSED = 6;
const killed = injects('F92', 'SIGKILL of the daemon that takes over, before the release');

let world: World;
let image: string;
let takers: Successors;
let registry: Server;
/** Of the page and of the metrics. */
let ports: readonly number[];
/** Downloads that wait at the gate. */
let downloads: number;

beforeEach(async () => {
  downloads = 0;
  ports = [await freePort(), await freePort()];
  registry = createServer((request, response) => void forward(request, response));
  await new Promise<void>((resolve) => void registry.listen(0, '127.0.0.1', resolve));
  const shortNames = (): string => `[[registry]]\nlocation = "${slowRegistry()}"\ninsecure = true\n`;
  world = await makeWorld({ name: 'tkf', network: 'none', config: withGate, shortNames });
  image = await world.pull();
  takers = new Successors(world.instance);
});

afterEach(async () => {
  openGate();
  await takers.kill();
  await world.instance.kill();
  await world.close();
  registry.closeAllConnections();
  registry.close();
});

async function freePort(): Promise<number> {
  const holder = createServer();
  await new Promise<void>((resolve) => void holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as AddressInfo;
  await new Promise<void>((resolve) => void holder.close(() => resolve()));
  return port;
}

const slowRegistry = (): string => `127.0.0.1:${(registry.address() as AddressInfo).port}`;

/** The world's registry, whose blobs wait as long as the gate is closed. */
async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url?.includes('/blobs/') === true && existsSync(gate('closed'))) {
    downloads += 1;
    await until(() => !existsSync(gate('closed')));
  }
  const { status, headers, body } = await ask(`http://${world.registry}${request.url}`, {
    method: request.method ?? 'GET',
  });
  response.writeHead(status, headers);
  response.end(body);
}

async function ask(url: string, options: RequestInit) {
  const answer = await fetch(url, options);
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: Buffer.from(await answer.arrayBuffer()),
  };
}

/** Begins a pull whose download waits at the gate, which is closed. */
async function pullAtGate(): Promise<{ readonly pulled: Promise<string> }> {
  const pulled = world.client.image
    .pullImage({ image: { image: `${slowRegistry()}/test/busybox:1` } })
    .then(({ imageRef }) => imageRef);
  pulled.catch(() => undefined);
  await until(() => downloads > 0);
  return { pulled };
}

const gate = (name: string): string => join(world.instance.directory, name);
const openGate = (): void => rmSync(gate('closed'), { force: true });

/** Configures a runtime that waits in `create` as long as the gate is closed; a page and metrics. */
function withGate(directory: string): string {
  const path = join(directory, 'runtime.sh');
  const waits = `: > ${directory}/waits; while [ -e ${directory}/closed ]; do sleep 0.05; done`;
  writeFileSync(path, `#!/bin/sh\ncase " $* " in *" create "*) ${waits};; esac\nexec ${RUNC} "$@"\n`);
  chmodSync(path, 0o755);
  return [
    '[runtime.handlers.runc]',
    `path = "${path}"`,
    '[introspection]',
    `http_address = "127.0.0.1:${ports[0]}"`,
    '[metrics]',
    `address = "127.0.0.1:${ports[1]}"`,
  ].join('\n');
}

async function makePod(name: string): Promise<string> {
  const logDirectory = join(world.logs, name);
  await mkdir(logDirectory, { recursive: true });
  const config = sandboxConfig({ name, logDirectory, hostNetwork: true });
  return (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
}

async function makeContainer(podSandboxId: string, pod: string, command = untilTermed(0)): Promise<string> {
  const sandbox = sandboxConfig({ name: pod, logDirectory: join(world.logs, pod), hostNetwork: true });
  const config = containerConfig({ name: 'main', image, command, hostNetwork: true });
  const asked = { podSandboxId, config, sandboxConfig: sandbox };
  return (await world.client.runtime.createContainer(asked)).containerId;
}

/** Begins a creation whose runtime waits at the gate. */
async function creationAtGate(
  podSandboxId: string,
  pod: string,
): Promise<{ readonly made: Promise<string> }> {
  writeFileSync(gate('closed'), '');
  const made = makeContainer(podSandboxId, pod);
  made.catch(() => undefined);
  await until(() => existsSync(gate('waits')));
  return { made };
}

/** Why one more daemon may not take over now. */
async function refusalOfAnother(): Promise<string> {
  const { root, state, socket } = world.instance;
  const link = Link.dial(join(state, 'take-over.sock'), realClock());
  try {
    const facts = await instanceOf({ ...defaultConfig, root, state, socket });
    await link.send({ type: 'hello', protocol: TAKE_OVER_PROTOCOL, isRescue: false, ...facts });
    return (await faultOf(link.expect('freezing', EVENT_MS))).message;
  } finally {
    link.close();
  }
}

/**
 * Skips a test whose fault must come before the release, where the machine stood still for so long that it did not: the
 * daemon waits landMs for effects in progress. An earlier release is a failure.
 */
async function skipWhereReleased(context: TestContext): Promise<void> {
  const line = await lineOf(world.instance.log, 'released the lock for the daemon that takes over');
  if (line === undefined) return;
  const { ms } = line;
  // Node's timers may come a millisecond early
  expect(ms).toBeGreaterThanOrEqual(takeOverLimits.landMs - 1);
  stoodStill(context, `the daemon had waited ${ms} ms for effects`);
}

const saysLog = (text: string): Promise<void> =>
  expect.poll(() => world.instance.log(), { timeout: EVENT_MS, interval: 10 }).toContain(text);

describePods('in flight at a take-over', () => {
  test('F92 the new daemon is killed before the release: effects go on, and no call has failed', async (context) => {
    const { runtime } = world.client;
    const pod = await makePod('one');
    const { made } = await creationAtGate(pod, 'one');
    const { pulled } = await pullAtGate();
    const taker = takers.start();
    await says(taker, FREEZES);
    // these wait: one that changes something, and a reload
    const second = makePod('two');
    second.catch(() => undefined);
    process.kill(world.instance.pid(), 'SIGHUP');
    // and these do not
    const [pods, containers, refusal] = await Promise.all([
      runtime.listPodSandbox({}),
      runtime.listContainers({}),
      refusalOfAnother().catch(String),
    ]);
    taker.child.kill('SIGKILL');
    await saysLog('take-over failed');
    await skipWhereReleased(context);
    killed.happened();
    expect(pods.items.map(({ id }) => id)).toEqual([pod]);
    expect(containers.containers).toEqual([]);
    expect(refusal).toContain('another daemon is taking over');
    openGate();
    const containerId = await made;
    expect(await pulled).toBe(image);
    await runtime.startContainer({ containerId });
    const { items } = await runtime.listPodSandbox({});
    expect(new Set(items.map(({ id }) => id))).toEqual(new Set([pod, await second]));
    await saysLog('configuration reloaded');
    expect(await world.instance.log()).not.toContain('reload configuration: failed');
    // and another one may take over
    const next = takers.start();
    await says(next, SERVES);
    const { status } = await runtime.containerStatus({ containerId });
    expect(status?.state).toBe(ContainerState.CONTAINER_RUNNING);
    process.kill(world.instance.pid(), 'SIGHUP');
    await saysLog('reload: another daemon has taken over, and is asked');
    await says(next, 'configuration reloaded');
  });

  test('F92 a creation that does not land, and a pull, are asked again of the daemon that takes over', async () => {
    const pod = await makePod('one');
    const { made } = await creationAtGate(pod, 'one');
    const { pulled } = await pullAtGate();
    const taker = takers.start();
    await says(taker, RELEASED);
    openGate();
    const containerId = await made;
    expect(await pulled).toBe(image);
    await world.client.runtime.startContainer({ containerId });
    const { containers } = await world.client.runtime.listContainers({});
    expect(containers.map(({ id }) => id)).toEqual([containerId]);
    await says(taker, SERVES);
  });

  test('F92 a daemon that is stopped while it hands over refuses, ends in order, and the next one goes on', async (context) => {
    const pod = await makePod('one');
    const { made } = await creationAtGate(pod, 'one');
    const taker = takers.start();
    await says(taker, FREEZES);
    const ended = world.instance.terminate();
    const code = await taker.ended;
    await skipWhereReleased(context);
    expect(code).toBe(REFUSED);
    expect(await taker.log()).toContain('the daemon that runs is stopping');
    openGate();
    const outcome = await made.catch((error: unknown) => String(error));
    expect(await ended).toBe(0);
    await world.instance.start();
    // it was made before the end, or is made now
    expect(outcome).toMatch(/^[0-9a-f]{64}$|UNAVAILABLE/u);
    const containerId = await makeContainer(pod, 'one');
    await world.client.runtime.startContainer({ containerId });
  });

  test('F92 a stop in its grace period goes on in the daemon that takes over', async () => {
    const { runtime } = world.client;
    const pod = await makePod('one');
    const command = [
      'sh',
      '-c',
      'trap ": > /termed" TERM; : > /ready; while [ ! -e /go ]; do sleep 0.05; done; exit 7',
    ];
    const containerId = await makeContainer(pod, 'one', command);
    await runtime.startContainer({ containerId });
    const sh = (text: string) => runtime.execSync({ containerId, cmd: ['sh', '-c', text], timeout: 60n });
    await sh('while [ ! -e /ready ]; do sleep 0.05; done');
    const stopped = runtime.stopContainer({ containerId, timeout: 600n });
    stopped.catch(() => undefined);
    await sh('while [ ! -e /termed ]; do sleep 0.05; done');
    const taker = takers.start();
    await says(taker, SERVES);
    await sh('touch /go');
    await stopped;
    const { status } = await runtime.containerStatus({ containerId });
    expect([status?.state, status?.exitCode]).toEqual([ContainerState.CONTAINER_EXITED, 7]);
  });

  test('F92 troupe watch follows the daemon that takes over, which serves page and metrics', async () => {
    const [program, , ...options] = world.instance.argv;
    const watching = spawn(program, ['watch', '--after', '1', ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [watching.stdout, watching.stderr])
      stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
    try {
      await makePod('before');
      await expect.poll(() => output, { timeout: EVENT_MS }).toContain('before');
      const taker = takers.start();
      await says(taker, SERVES);
      for (const line of ['serving the introspection page', 'serving the metrics']) await says(taker, line);
      const codes = ports.map(async (port) => (await ask(`http://127.0.0.1:${port}/metrics`, {})).status);
      expect(await Promise.all(codes)).toEqual([401, 401]);
      expect(await taker.log()).not.toContain('PartsStarted');
      await expect.poll(() => output, { timeout: EVENT_MS }).toContain('the daemon was restarted');
      await makePod('after');
      await expect.poll(() => output, { timeout: EVENT_MS }).toContain('after');
    } finally {
      watching.kill('SIGKILL');
    }
  });
});
