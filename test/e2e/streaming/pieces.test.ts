// Single bytes, where bounds count bytes: what execs write, and what clients send to a process that does not read.
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { memoryLimits } from '../../../src/host/bounds.ts';
import { dataHead, pingFrame } from '../../../src/cri/streaming/spdy-frames.ts';
import { ask, connectSpdy, openCommand, wsHeaders } from '../../integration/streaming/clients.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { ownMib, statusMib } from '../../support/own-memory.ts';
import { until } from '../../support/eventually.ts';
import { PROGRAM_MS } from '../../support/patience.ts';

const MIB = 1024 * 1024;
const EXECS = 4;
/** Of single bytes, by each exec. */
const WRITES = 1_000_000;
const SESSIONS = 8;
/** Garbage that V8 may keep until it collects next: its heap grows by 70 % before that. */
const GARBAGE_MIB = 32;
const SESSION_MIB = 4;
const LOOK_MS = 1000;
/** Between two samples of a peak that the kernel does not keep; the outputs are held for seconds. */
const SAMPLE_MS = 20;
/** As much as each client sends, a byte in each frame. */
const FRAMES = MIB;
const FRAMES_AT_ONCE = 4096;
/**
 * After so many a ping is sent, whose answer says that they were read; at the bound the session would not be read any
 * more.
 */
const PINGED_AFTER = (7 / 8) * FRAMES;

describePods('single bytes', () => {
  let world: World;
  let containerId = '';
  beforeAll(async () => {
    world = await makeWorld({ name: 'piec', network: 'host-only', logLevel: 'info' });
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'pieces', logDirectory: `${world.logs}/pieces`, hostNetwork: true });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = containerConfig({
      name: 'main',
      image: await world.pull(),
      command: ['sleep', '7200'],
      hostNetwork: true,
    });
    ({ containerId } = await runtime.createContainer({
      podSandboxId,
      config: request,
      sandboxConfig: config,
    }));
    await runtime.startContainer({ containerId });
    // what the first one loads is no cost of the ones after it
    await runtime.execSync({ containerId, cmd: ['dd', 'if=/dev/zero', 'bs=1', 'count=1000'], timeout: 60n });
  });
  afterAll(async () => await world.close());
  // a failed test's sessions would take the container's share of unread input from the next test
  const open: { destroy(): void }[] = [];
  afterEach(() => {
    for (const socket of open.splice(0)) socket.destroy();
  });

  const own = (): Promise<number> => ownMib(world.instance.pid());
  const all = (): Promise<number> => statusMib(world.instance.pid(), 'VmRSS');

  /** What the daemon holds at rest: what a start or a burst has left is given back every 10 s. */
  async function settledMib(): Promise<number> {
    let least = await own();
    for (let polls = 0; polls <= memoryLimits.trimEveryMs + LOOK_MS; polls += LOOK_MS) {
      await delay(LOOK_MS);
      const now = await own();
      if (now < least - 0.5) polls = 0;
      least = Math.min(least, now);
    }
    return least;
  }

  /** The most that it says from now until what is returned is called. */
  function peakOf(mib: () => Promise<number>): () => Promise<number> {
    const ended = new AbortController();
    const sampled = (async () => {
      let most = 0;
      while (!ended.signal.aborted) {
        most = Math.max(most, await mib());
        await delay(SAMPLE_MS);
      }
      return Math.max(most, await mib());
    })();
    return () => {
      ended.abort();
      return sampled;
    };
  }

  /** Waits until the sessions take no more than they may. What is garbage depends on V8's last collection. */
  async function fallsTo(protocol: string, before: number): Promise<void> {
    console.log(
      `${protocol}: ${(((await own()) - before) / SESSIONS).toFixed(2)} MiB a session with garbage`,
    );
    await until(async () => (await own()) - before <= SESSIONS * SESSION_MIB + GARBAGE_MIB);
  }

  /** A URL for an exec that never reads its stdin. */
  async function urlOfSleeper(): Promise<string> {
    return (
      await world.client.runtime.exec({
        containerId,
        cmd: ['sleep', '3600'],
        stdin: true,
        stdout: true,
        stderr: false,
        tty: false,
      })
    ).url;
  }

  test(`S85 I23: ${EXECS} execs of ${WRITES} writes of a byte each: the daemon grows by at most ${GARBAGE_MIB} MiB`, async () => {
    await settledMib();
    const kinds = [own, all] as const;
    const before = await Promise.all(kinds.map((mib) => mib()));
    const peaks = kinds.map(peakOf);
    const answers = await Promise.all(
      Array.from({ length: EXECS }, async () => {
        const cmd = ['sh', '-c', `dd if=/dev/zero bs=1 count=${WRITES} 2>/dev/null`];
        const timeout = BigInt(PROGRAM_MS / 1000);
        const { exitCode, stdout } = await world.client.runtime.execSync({ containerId, cmd, timeout });
        return [exitCode, stdout.length];
      }),
    );
    const most = await Promise.all(peaks.map((peak) => peak()));
    // of the difference most are pages of the program's file, which come back with the first calls after a rest
    const [ownMore = 0, allMore = 0] = most.map((mostMib, at) => mostMib - (before[at] ?? 0));
    console.log(`execs: ${ownMore.toFixed(1)} MiB more of its own at most, ${allMore.toFixed(1)} MiB in all`);
    expect(answers).toEqual(Array.from({ length: EXECS }, () => [0, WRITES]));
    expect(ownMore).toBeLessThanOrEqual(GARBAGE_MIB);
  });

  test(`S85 I23: ${SESSIONS} sessions of SPDY with ${FRAMES} frames of a byte each, which no process reads: at most ${SESSION_MIB} MiB for each, once garbage is collected`, async () => {
    const before = await settledMib();
    const clients = await Promise.all(
      Array.from({ length: SESSIONS }, async () => {
        const { client } = await connectSpdy(await urlOfSleeper(), 'v4.channel.k8s.io');
        open.push(client.socket);
        return { client, stdin: (await openCommand(client, 'stdin', 'stdout')).stdin };
      }),
    );
    await Promise.all(
      clients.map(async ({ client, stdin }) => {
        const frames = Buffer.concat(
          Array.from({ length: FRAMES_AT_ONCE }, () =>
            Buffer.concat([dataHead(stdin.id, 1, false), Buffer.of(7)]),
          ),
        );
        for (let sent = 0; sent < FRAMES; sent += FRAMES_AT_ONCE) {
          if (sent === PINGED_AFTER) client.socket.write(pingFrame(1));
          client.socket.write(frames);
        }
      }),
    );
    // the server has pings of its own for a client that it does not read
    await until(async () => clients.every(({ client }) => client.pongs.includes(1)));
    await fallsTo('SPDY', before);
  });

  test(`S85 I23: ${SESSIONS} sessions of WebSocket with ${FRAMES} messages of a byte each, which no process reads: at most ${SESSION_MIB} MiB for each, once garbage is collected`, async () => {
    const before = await settledMib();
    // a client's frame: two bytes of payload (channel 0, a byte), masked with zeros
    const frames = Buffer.concat(
      Array.from({ length: FRAMES_AT_ONCE }, () => Buffer.of(0x82, 0x82, 0, 0, 0, 0, 0, 7)),
    );
    const sockets = await Promise.all(
      Array.from({ length: SESSIONS }, async () => {
        const { socket, status } = await ask(await urlOfSleeper(), wsHeaders('v5.channel.k8s.io'), 'GET');
        if (socket === undefined) throw new Error(`refused with ${status}`);
        open.push(socket);
        let hasAnswered = false;
        // the first byte of a pong
        socket.on('data', (chunk: Buffer) => (hasAnswered ||= chunk.includes(0x8a)));
        for (let sent = 0; sent < FRAMES; sent += FRAMES_AT_ONCE) {
          if (sent === PINGED_AFTER) socket.write(Buffer.of(0x89, 0x80, 0, 0, 0, 0));
          socket.write(frames);
        }
        return { socket, hasAnswered: () => hasAnswered };
      }),
    );
    await until(async () => sockets.every(({ hasAnswered }) => hasAnswered()));
    await fallsTo('WebSocket', before);
  });
});
