// Runtime handlers come and go by SIGHUP: what is listed, what a pod gets, and pods whose handler is gone.
import { Code } from '@connectrpc/connect';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import { unless, lacking } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';

const RUNC = '/usr/sbin/runc';
const MONITOR = '/usr/bin/conmon';
const isHere = existsSync(RUNC);
if (!isHere) console.log(`skipped: ${RUNC} is not installed`);

unless(describe, lacking(RUNC, MONITOR))('handlers by reload', () => {
  let world: World;
  let dropIn: string;
  let runtime: string;

  beforeAll(async () => {
    world = await hostOnlyWorld('rload');
    const directory = join(world.instance.directory, 'troupe.toml.d');
    mkdirSync(directory);
    dropIn = join(directory, '10-handlers.toml');
    runtime = join(world.instance.root, 'runc-copy');
    copyFileSync(RUNC, runtime);
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const handlerNames = async (): Promise<string[]> =>
    (await world.client.runtime.status({})).runtimeHandlers.map(({ name }) => name).toSorted();

  const logged = async (line: string): Promise<number> => (await world.instance.log()).split(line).length - 1;

  /** Writes the drop-in and signals the daemon; returns when it has logged the outcome. */
  async function reload(text: string, outcome = 'configuration reloaded'): Promise<void> {
    writeFileSync(dropIn, text);
    const before = await logged(outcome);
    process.kill(world.instance.pid(), 'SIGHUP');
    await expect.poll(() => logged(outcome)).toBeGreaterThan(before);
  }

  const failureOf = (call: Promise<unknown>): Promise<{ code: number; message: string }> =>
    call.then(
      () => ({ code: 0, message: '' }),
      (error: { code: number; message: string }) => error,
    );

  it('a handler added by SIGHUP runs pods, and the annotations of its list pass', async () => {
    expect(await handlerNames()).toEqual(['', 'runc']);
    await reload(
      `[runtime.handlers.second]\npath = "${runtime}"\noptions = ["--debug"]\nallowed_annotations = ["kubernetes.io/*"]\n` +
        '[runtime.handlers.second.default_annotations]\n"org.example.depth" = "3"\n',
    );
    expect(await handlerNames()).toEqual(['', 'runc', 'second']);
    const { sandboxId, containerId } = await makePod(world, 'second', {
      runtimeHandler: 'second',
      command: untilTermed(4),
    });
    await world.client.runtime.startContainer({ containerId });
    const spec = JSON.parse(
      readFileSync(join(world.instance.state, 'containers', containerId, 'bundle/config.json'), 'utf8'),
    ) as {
      annotations: Record<string, string>;
    };
    expect(spec.annotations).toMatchObject({
      'kubernetes.io/config.source': 'api',
      'org.example.depth': '3',
    });
    expect(Object.keys(spec.annotations)).not.toContain('io.kubernetes.container.terminationMessagePath');
    await removePod(world, sandboxId);
  });

  it('a handler that cannot work on this machine is listed with the reason, and a pod for it is refused with it', async () => {
    await reload('[runtime.handlers.absent]\npath = "/nowhere/kata"\n');
    expect(await handlerNames()).toEqual(['', 'absent', 'runc']);
    const { info, status } = await world.client.runtime.status({ verbose: true });
    expect(JSON.parse(info['handlers'] ?? '')).toContainEqual(
      expect.objectContaining({
        name: 'absent',
        ready: false,
        reason: 'find /nowhere/kata (runtime handler absent): no executable /nowhere/kata',
      }),
    );
    expect(status?.conditions.find(({ type }) => type === 'RuntimeReady')?.status).toBe(true);
    const refused = await failureOf(makePod(world, 'absent', { runtimeHandler: 'absent' }));
    expect(refused.code).toBe(Code.FailedPrecondition);
    expect(refused.message).toContain('runtime handler "absent" is not usable: find /nowhere/kata');
  });

  it('a default handler whose program is gone makes CRI, troupe status and metrics say that alike', async () => {
    const page = '[introspection]\nhttp_address = "127.0.0.1:0"\nmetrics = "open"\n';
    const ask = async () => {
      const { status } = await world.client.runtime.status({});
      const { code, stdout } = await run([
        join(checkout, 'bin/troupe'),
        'status',
        '--state',
        world.instance.state,
      ]);
      const origin = [...(await world.instance.log()).matchAll(/"page":"(http:[^"]+)"/gu)].at(-1)?.[1] ?? '';
      const metrics = await (await fetch(`${origin}/metrics`)).text();
      return {
        cri: status?.conditions.find(({ type }) => type === 'RuntimeReady')?.message,
        troupe: /^runtime +(.+)$/mu.exec(stdout)?.[1],
        code,
        metrics: /^troupe_ready (\d)$/mu.exec(metrics)?.[1],
      };
    };
    await reload(page);
    // a page of metrics is up to half a second old
    await expect
      .poll(ask, { timeout: EVENT_MS })
      .toEqual({ cri: '', troupe: 'ready', code: 0, metrics: '1' });
    await reload(`${page}[runtime.handlers.runc]\npath = "/nowhere/runc"\n`);
    const reason = 'find /nowhere/runc (runtime handler runc): no executable /nowhere/runc';
    await expect
      .poll(ask, { timeout: EVENT_MS })
      .toEqual({ cri: reason, troupe: `not ready: ${reason}`, code: 1, metrics: '0' });
    await reload('');
  });

  it('an invalid configuration changes nothing, and keys that need a restart are named', async () => {
    await reload('[runtime.handlers.third]\nflags = 1\n', 'reload configuration: failed');
    expect(await handlerNames()).toEqual(['', 'runc']);
    await reload('[runtime]\ndefault_handler = "fourth"\n', 'reload configuration: failed');
    expect(await handlerNames()).toEqual(['', 'runc']);
    await reload('[streaming]\nport = 1\n', 'changed keys take effect at the next start');
    expect(await world.instance.log()).toContain('"keys":["streaming.port"]');
    expect(await handlerNames()).toEqual(['', 'runc']);
  });

  it('pods outlive their handler: they can be stopped and removed without its entry, after kill -9, and without its program', async () => {
    await reload(`[runtime.handlers.second]\npath = "${runtime}"\n`);
    const pods = [];
    for (const name of ['stays', 'restarted', 'uninstalled']) {
      const pod = await makePod(world, name, {
        runtimeHandler: 'second',
        command: untilTermed(6),
        sharesPids: name === 'restarted',
      });
      await startUntilUp(world.client, pod.containerId);
      pods.push(pod);
    }
    await reload('');
    expect(await handlerNames()).toEqual(['', 'runc']);
    expect((await failureOf(makePod(world, 'late', { runtimeHandler: 'second' }))).code).toBe(
      Code.InvalidArgument,
    );
    const [stays, restarted, uninstalled] = pods;
    if (stays === undefined || restarted === undefined || uninstalled === undefined)
      throw new Error('three pods were made');
    const exec = await world.client.runtime.execSync({
      containerId: stays.containerId,
      cmd: ['true'],
      timeout: 60n,
    });
    expect(exec.exitCode).toBe(0);
    await world.client.runtime.stopContainer({ containerId: stays.containerId, timeout: 60n });
    expect(
      (await world.client.runtime.containerStatus({ containerId: stays.containerId })).status?.exitCode,
    ).toBe(6);
    await removePod(world, stays.sandboxId);
    await world.instance.kill();
    await world.instance.start();
    expect(await handlerNames()).toEqual(['', 'runc']);
    await removePod(world, restarted.sandboxId);
    rmSync(runtime);
    await removePod(world, uninstalled.sandboxId);
    expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
  });

  it('the next container gets the monitor of a reload, and one that runs keeps its own', async () => {
    const copy = join(world.instance.root, 'monitor-copy');
    copyFileSync(MONITOR, copy);
    const monitorsOf = (containerId: string): readonly string[] =>
      readdirSync('/proc')
        .filter((pid) => /^\d+$/u.test(pid))
        .map((pid) => commandOf(pid).split('\0'))
        .filter((argv) => argv.includes('--exit-dir') && argv.includes(containerId))
        .map(([program = '']) => program);
    const start = async (name: string) => {
      const pod = await makePod(world, name, { command: untilTermed(4) });
      await world.client.runtime.startContainer({ containerId: pod.containerId });
      return pod;
    };
    const before = await start('monitor-before');
    await reload(`[runtime]\nmonitor = "${copy}"\n`);
    const after = await start('monitor-after');
    expect([monitorsOf(before.containerId), monitorsOf(after.containerId)]).toEqual([[MONITOR], [copy]]);
    await reload('[runtime]\nmonitor = "/nowhere/conmon"\n');
    const { info } = await world.client.runtime.status({ verbose: true });
    expect(info['handlers']).toContain('find /nowhere/conmon (monitor of runtime handler runc)');
    // with its records, not with the configuration
    for (const { sandboxId } of [before, after]) await removePod(world, sandboxId);
    await reload('');
  });

  it('a pod of the default handler keeps it when the default changes', async () => {
    const { sandboxId, containerId } = await makePod(world, 'old', { command: untilTermed(2) });
    await world.client.runtime.startContainer({ containerId });
    copyFileSync(RUNC, runtime);
    await reload(`[runtime]\ndefault_handler = "second"\n[runtime.handlers.second]\npath = "${runtime}"\n`);
    const later = await makePod(world, 'new', { command: untilTermed(2) });
    expect(existsSync(join(world.instance.state, 'runtimes/second', later.containerId))).toBe(true);
    expect((await world.client.runtime.execSync({ containerId, cmd: ['true'], timeout: 60n })).exitCode).toBe(
      0,
    );
    for (const pod of [sandboxId, later.sandboxId]) await removePod(world, pod);
    await reload('');
  });
});

/** The command line of a process; empty for one that has ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
