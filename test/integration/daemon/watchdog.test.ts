// Reports of life to systemd's watchdog, from a real daemon to a small program in systemd's place, while parts of the
// daemon really hang: its process is stopped, threads are held by ptrace, the file system of its journal is frozen.
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import { FakeSystemd } from '../../support/fake-systemd.ts';
import { makeDisk, whyNoFrozenDisk } from '../../support/frozen-disk.ts';
import type { FrozenDisk } from '../../support/frozen-disk.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { holdThreads } from '../../support/tracer/held-threads.ts';

const WATCHDOG_MS = 4000;

interface Watched {
  readonly instance: Instance;
  readonly systemd: FakeSystemd;
  /** Waits until the daemon has reported some times more that it lives. */
  readonly livesOn: () => Promise<void>;
  /** Waits until systemd would end it. */
  readonly isSilent: () => Promise<void>;
  readonly logHas: (text: string) => Promise<void>;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function watched(prepare: (instance: Instance) => void = () => undefined): Promise<Watched> {
  const systemd = new FakeSystemd({ watchdogMs: WATCHDOG_MS });
  const instance = await makeInstance({ name: 'watch', network: 'none', systemd });
  closing.push(
    () => systemd.close(),
    () => instance.remove(),
  );
  prepare(instance);
  await instance.start();
  // systemd counts from READY=1 on, and the daemon says it after it has answered its first calls
  const isReady = (): boolean => systemd.messages.some((one) => one.startsWith('READY=1'));
  await expect.poll(isReady, { timeout: EVENT_MS }).toBe(true);
  const lives = (): number => systemd.messages.filter((one) => one === 'WATCHDOG=1').length;
  return {
    instance,
    systemd,
    livesOn: async () => {
      const before = lives();
      await expect.poll(lives, { timeout: EVENT_MS }).toBeGreaterThan(before + 2);
    },
    isSilent: async () => {
      await expect.poll(() => systemd.silentMs, { timeout: EVENT_MS }).toBeGreaterThan(WATCHDOG_MS);
    },
    logHas: async (text) => {
      await expect.poll(() => instance.log(), { timeout: EVENT_MS }).toContain(text);
    },
  };
}

/** The threads of the daemon's workers. */
function workersOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`).filter((tid) => {
    try {
      return readFileSync(`/proc/${pid}/task/${tid}/comm`, 'latin1').startsWith('WorkerThread');
    } catch {
      // it has ended
      return false;
    }
  });
}

unless(describe, notRoot())('a daemon under a watchdog', () => {
  it('reports again and again that it lives, once it is ready', async () => {
    const { instance, systemd, livesOn } = await watched();
    await livesOn();
    expect(systemd.messages.filter((one) => one.startsWith('READY=1'))).toHaveLength(1);
    expect(await instance.log()).not.toContain('not reporting life');
  });

  it('F15 does not while its event loop stands still, and does again when it goes on', async () => {
    const { instance, isSilent, livesOn } = await watched();
    process.kill(instance.pid(), 'SIGSTOP');
    closing.push(() => process.kill(instance.pid(), 'SIGCONT'));
    await isSilent();
    process.kill(instance.pid(), 'SIGCONT');
    await livesOn();
  });

  it('replaces a kernel thread that hangs, and reports on', async () => {
    const { instance, livesOn } = await watched();
    const before = workersOf(instance.pid());
    const release = await holdThreads(instance.pid(), 'WorkerThread');
    closing.push(release);
    await expect
      .poll(() => workersOf(instance.pid()).filter((tid) => !before.includes(tid)), { timeout: EVENT_MS })
      .not.toEqual([]);
    await livesOn();
  });

  it('does not report while each kernel thread hangs, also the one in its place, and does again afterwards', async () => {
    const { instance, isSilent, livesOn, logHas } = await watched();
    const release = await holdThreads(instance.pid(), 'WorkerThread', 'all');
    closing.push(release);
    await isSilent();
    await logHas('"parts":["kernel thread"],"msg":"parts do not answer: not reporting life to systemd"');
    await release();
    await livesOn();
    await logHas('"condition":"PartsAnswer","subject":"kernel thread","msg":"no longer degraded"');
  });
});

unless(it, whyNoFrozenDisk())(
  'F91 a daemon whose journal’s disk hangs names it, and reports on: a restart would not help',
  async () => {
    let disk: FrozenDisk | undefined;
    const { instance, livesOn, logHas } = await watched(({ root }) => {
      disk = makeDisk(root);
      closing.push(() => disk?.remove());
    });
    const { runtime, close } = criClient(instance.socket);
    closing.push(close);
    disk?.freeze();
    const config = sandboxConfig({ name: 'pod', logDirectory: instance.directory, hostNetwork: true });
    const running = runtime.runPodSandbox({ config });
    await logHas('"condition":"PartsAnswer","subject":"journal","reason":"the disk has not answered write');
    await livesOn();
    expect(await instance.log()).not.toContain('not reporting life');
    disk?.thaw();
    const { podSandboxId } = await running;
    await logHas('"condition":"PartsAnswer","subject":"journal","msg":"no longer degraded"');
    await livesOn();
    await runtime.removePodSandbox({ podSandboxId });
  },
);
