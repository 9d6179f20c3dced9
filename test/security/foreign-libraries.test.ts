// No process of the host loads code of an image (S53, CVE-2019-14271: a helper that had entered an image's root loaded
// its libnss). A create, a start, an exec and an end under strace: nothing that was planted is opened below the image's
// root.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../scripts/support/busybox-image.ts';
import { imageOf, layerOf } from '../../scripts/support/image.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../e2e/support/pods.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { staticBusybox } from '../support/tools/debian.ts';
import { until } from '../support/eventually.ts';
import { unless } from '../support/skips/unless.ts';

const STRACE = '/usr/bin/strace';
const missing = process.getuid?.() !== 0 ? 'root' : existsSync(STRACE) ? '' : STRACE;
if (missing !== '') console.log(`skipped: what host processes load of an image: needs ${missing}`);

/** What ld.so(8), nsswitch.conf(5) and Node search for by themselves. */
const PLANTED = [
  'etc/ld.so.preload',
  'etc/ld.so.cache',
  'etc/nsswitch.conf',
  'etc/gai.conf',
  'etc/hosts.conf',
  'etc/ssl/openssl.cnf',
  'lib/x86_64-linux-gnu/libnss_files.so.2',
  'lib/x86_64-linux-gnu/libc.so.6',
  'lib64/ld-linux-x86-64.so.2',
  'usr/lib/libnss_files.so.2',
  'lib/libnss_files.so.2',
  'usr/lib/locale/locale-archive',
  'usr/lib/x86_64-linux-gnu/gconv/gconv-modules',
] as const;

/** Traces every thread of the process into a file until the returned function is called. */
async function traceAll(pid: number, output: string): Promise<() => Promise<void>> {
  const tracer = spawn(
    STRACE,
    ['-f', '-qq', '-y', '-s', '1', '-e', 'trace=open,openat,openat2,execve', '-o', output, '-p', String(pid)],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((resolve) => void tracer.once('exit', () => resolve()));
  // every thread of it
  const tasks = `/proc/${pid}/task`;
  const isTraced = async (task: string): Promise<boolean> =>
    (await readFile(join(tasks, task, 'status'), 'utf8')).includes(`TracerPid:\t${tracer.pid}\n`);
  await until(async () => (await Promise.all((await readdir(tasks)).map(isTraced))).every(Boolean));
  return async () => {
    tracer.kill('SIGINT');
    await ended;
  };
}

unless(describe, missing)('S53 code of an image', () => {
  let world: World;
  beforeAll(async () => {
    const planted = layerOf(
      PLANTED.map((path) => ({ type: 'file', path, mode: 0o755, content: 'of the image' })),
    );
    const images = new Map([
      ['test/planted:1', imageOf({}, [...busyboxImage(staticBusybox()).layers, planted])],
    ]);
    world = await makeWorld({ name: 'libs', network: 'host-only', logLevel: 'info', images });
  });
  afterAll(async () => await world.close());

  test('is opened by no process outside of the container; users are looked up in the image’s files', async () => {
    const {
      client: { runtime, image },
      instance,
    } = world;
    const { imageRef } = await image.pullImage({ image: { image: `${world.registry}/test/planted:1` } });
    const sandbox = sandboxConfig({
      name: 'libs',
      logDirectory: join(world.logs, 'libs'),
      hostNetwork: true,
    });
    const { podSandboxId } = await runtime.runPodSandbox({ config: sandbox });
    const trace = join(instance.directory, 'trace');
    const endTrace = await traceAll(instance.pid(), trace);

    const request = containerConfig({
      name: 'main',
      image: imageRef,
      command: untilTermed(0),
      hostNetwork: true,
    });
    const config = {
      ...request,
      linux: {
        ...request.linux,
        securityContext: { ...request.linux?.securityContext, runAsUsername: 'www-data' },
      },
    } as typeof request;
    const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: sandbox });
    await runtime.startContainer({ containerId });
    await runtime.execSync({ containerId, cmd: ['echo', 'x'], timeout: 60n });
    await runtime.stopContainer({ containerId, timeout: 10n });
    await runtime.removeContainer({ containerId });
    await endTrace();

    const lines = (await readFile(trace, 'utf8')).split('\n');
    const rootfs = join(instance.root, 'containers', containerId);
    // strace shows the whole path of what was opened, for one that has changed its root, too
    const opened = lines
      .map((line) => /= \d+<([^>]*)>/u.exec(line)?.[1] ?? '')
      .filter((path) => path.startsWith(`${instance.root}/`));
    expect(opened.some((path) => path.startsWith(rootfs) && path.endsWith('/etc/passwd'))).toBe(true);
    expect(opened.filter((path) => PLANTED.some((one) => path.endsWith(`/${one}`)))).toEqual([]);
    // what is run comes from the host: the container's own first program is found from inside of it
    const run = lines.filter((line) => line.includes('execve(') && line.includes(instance.root));
    expect(run).toEqual([]);
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });
});
