// Six broken nodes: what `troupe why` or `troupe status` says about each, and that the page says it without scrolling.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { mkdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busyboxImage } from '../../../scripts/support/busybox-image.ts';
import { criClient } from '../../../scripts/support/cri-client.ts';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import type { TinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { leastFreeBytes } from '../../../src/host/files/free-space.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { containerConfig, sandboxConfig, startUntilUp } from '../support/pods.ts';
import { unless } from '../../support/skips/unless.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser, Page } from './browser.ts';
import { pluginDirs, writeHangingPlugin } from './hanging-plugin.ts';
import { isSeen, picture, WINDOW } from './picture.ts';

const MIB = 1024 * 1024;
const program = join(checkout, 'bin/troupe');
const { hierarchies } = await detectCgroups();
const hasMemory = hierarchies.some(({ controllers }) => controllers.includes('memory'));
const missing = [
  ...(chromium === undefined
    ? ['this machine has no Chromium (apt-get install chromium-headless-shell)']
    : []),
  ...(process.getuid?.() === 0 ? [] : ['pods need root']),
];

/** A registry that accepts no password. */
async function closedRegistry(): Promise<{ readonly server: Server; readonly address: string }> {
  const server = createServer((_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="closed"' }).end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Root and images on a small disk, a CNI plugin of its own, and a drop-in that is no TOML. */
async function prepared(registries: readonly string[]): Promise<Instance> {
  const made = await makeInstance({
    name: 'brok',
    registriesConf: registries
      .map((address) => `[[registry]]\nlocation = "${address}"\ninsecure = true\n`)
      .join(''),
    networkSettings: (directory) => [pluginDirs(directory)],
    config: '[introspection]\nhttp_address = "127.0.0.1:0"\n',
    before: (directory) => [
      '/bin/sh',
      '-c',
      `mkdir -m 711 ${directory}/root && mount -t tmpfs -o size=128m,mode=711 small ${directory}/root && exec "$0" "$@"`,
    ],
  });
  const { directory } = made;
  writeHangingPlugin(directory);
  await mkdir(join(directory, 'troupe.toml.d'));
  await writeFile(join(directory, 'troupe.toml.d/90-site.toml'), '[log]\nlevel = "info\n');
  return made;
}

unless(describe, missing.length > 0 ? `needs ${missing.join(', ')}` : '')('a broken node', () => {
  let registry: TinyRegistry;
  let closed: Awaited<ReturnType<typeof closedRegistry>>;
  let instance: Instance;
  let cri: CriClient;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    registry = await startTinyRegistry(
      new Map([
        ['test/busybox:1', busyboxImage(staticBusybox())],
        ['test/large:1', busyboxImage(staticBusybox())],
      ]),
    );
    closed = await closedRegistry();
    instance = await prepared([registry.address, closed.address]);
    await instance.start();
    cri = criClient(instance.socket);
    const origin = /"page":"(http:[^"]+)"/u.exec(await instance.log())?.[1] ?? '';
    const token = (await readFile(join(instance.state, 'introspection.token'), 'utf8')).trim();
    browser = await openBrowser();
    page = browser.page;
    await page.size(WINDOW.width, WINDOW.height);
    await page.open(`${origin}/#token=${token}`);
  });
  afterAll(async () => {
    cri?.close();
    await browser?.close();
    await instance?.remove();
    await registry?.stop();
    closed?.server.close();
  });

  const troupe = async (...args: string[]): Promise<string> =>
    (await run([program, ...args, '--state', instance.state])).stdout.replaceAll(/\s+/gu, ' ');
  const choose = async (name: string): Promise<void> => {
    const row = `[...document.querySelectorAll('.row:not([hidden])')].find((one) => one.querySelector('b').textContent === '${name}')`;
    await page.until(`${row} !== undefined`);
    await page.value(`${row}.click()`);
    await page.until(`document.querySelector('h2')?.textContent === '${name}'`);
  };
  const toNode = (): Promise<unknown> => page.value("document.getElementById('home').click()");
  /** Waits until the element has the text, and expects it in the window. */
  const seen = async (selector: string, text: string): Promise<void> => {
    await page.until(
      `document.querySelector(${JSON.stringify(selector)})?.textContent.includes(${JSON.stringify(text)})`,
    );
    expect(await isSeen(page, selector)).toBe(true);
  };
  const startPod = async (name: string) => {
    const config = sandboxConfig({ name, logDirectory: join(instance.directory, 'logs', name) });
    return { config, id: (await cri.runtime.runPodSandbox({ config })).podSandboxId };
  };
  const pull = async (name: string): Promise<string> =>
    (await cri.image.pullImage({ image: { image: `${registry.address}/${name}` } })).imageRef;

  it('with a drop-in that is no TOML: status and page name file and line', async () => {
    const named = '90-site.toml';
    expect(await troupe('status')).toMatch(/degraded NodeFilesUsable is false: \S+90-site\.toml: line 2/u);
    await toNode();
    await seen('.condition', named);
    await picture(page, 'broken-drop-in.png');
  });

  it('whose CNI plugin hangs', async () => {
    const started = startPod('checkout').then(
      () => 'it started',
      (thrown: unknown) => String(thrown),
    );
    await choose('checkout');
    await seen('.answer', 'Waits on CNI ADD bridge (pid ');
    expect(await isSeen(page, '.wait-card')).toBe(true);
    expect(await troupe('why', 'default/checkout')).toMatch(
      /why Waits on CNI ADD bridge \(pid \d+\) for [\d.]+ s; given up in /u,
    );
    // slow after some seconds
    await page.until("document.querySelector('[data-mode=trouble] span').textContent === '1'");
    await picture(page, 'hanging-plugin.png');
    await toNode();
    await seen('.troubles', 'Slow waits: waits on CNI ADD bridge');
    const pid = /\(pid (\d+)\)/u.exec(await troupe('why', 'default/checkout'))?.[1];
    process.kill(Number(pid), 'SIGKILL');
    expect(await started).toContain('CNI ADD');
    const { items } = await cri.runtime.listPodSandbox({});
    for (const { id } of items) await cri.runtime.removePodSandbox({ podSandboxId: id });
  });

  it('with wrong credentials for a registry', async () => {
    const image = `${closed.address}/team/app:1`;
    const password = 'canary-7c1d';
    await expect(
      cri.image.pullImage({ image: { image }, auth: { username: 'user', password } }),
    ).rejects.toThrow(/authentication failed: the credentials were not accepted/u);
    const why = await troupe('why', image);
    expect(why).toMatch(
      /why Removed\. It failed: .*authentication failed: the credentials were not accepted/u,
    );
    expect(why).not.toContain(password);
    await toNode();
    await seen('.failures', 'authentication failed: the credentials were not accepted');
    await picture(page, 'wrong-credentials.png');
  });

  unless(it, hasMemory ? '' : 'needs the memory controller')(
    'with a container that is OOM-killed again and again',
    async () => {
      const image = await pull('test/busybox:1');
      const { config, id } = await startPod('hungry');
      for (const attempt of [0, 1, 2]) {
        const wanted = containerConfig({
          name: 'app',
          image,
          attempt,
          command: ['sh', '-c', 'tail /dev/zero'],
        });
        const { containerId } = await cri.runtime.createContainer({
          podSandboxId: id,
          sandboxConfig: config,
          config: {
            ...wanted,
            linux: { ...wanted.linux, resources: { memoryLimitInBytes: BigInt(32 * MIB) } },
          } as typeof wanted,
        });
        await cri.runtime.startContainer({ containerId });
        await expect
          .poll(async () => (await cri.runtime.containerStatus({ containerId })).status?.state)
          .toBe(ContainerState.CONTAINER_EXITED);
      }
      const sentence = 'Container app, attempt 2: OOM killed: it used more memory than its limit of 32 MiB';
      expect(await troupe('why', 'default/hungry')).toContain(sentence);
      await choose('hungry');
      await seen('.answer', sentence);
      await page.press('3');
      await picture(page, 'oom-loop.png');
      await page.press('1');
      await toNode();
      await seen('.troubles', 'OOM killed');
      await cri.runtime.removePodSandbox({ podSandboxId: id });
    },
  );

  it('with a container that ignores SIGTERM', async () => {
    const image = await pull('test/busybox:1');
    const { config, id } = await startPod('stubborn');
    const command = ['sh', '-c', `trap '' TERM; echo up; while :; do sleep 1; done`];
    const { containerId } = await cri.runtime.createContainer({
      podSandboxId: id,
      sandboxConfig: config,
      config: containerConfig({ name: 'worker', image, command }),
    });
    await startUntilUp(cri, containerId);
    const stopped = cri.runtime.stopContainer({ containerId, timeout: 3600n });
    await choose('worker');
    await seen('.answer', 'SIGTERM was sent');
    await seen('.answer', 'SIGKILL follows in ');
    expect(await troupe('why', 'worker')).toMatch(
      /why SIGTERM was sent [\d.]+ .*ago, and its process \(pid \d+\) has not exited; SIGKILL follows in [1-5]\d m/u,
    );
    await picture(page, 'ignored-sigterm.png');
    await cri.runtime.stopContainer({ containerId, timeout: 1n });
    await stopped;
    await seen('.answer', 'Killed: it did not exit on SIGTERM within its grace period (exit code 137)');
    expect(await isSeen(page, '.exit-card')).toBe(true);
    await picture(page, 'killed-after-grace.png');
    await page.value("document.querySelector('details.trace').open = true");
    await page.until("document.querySelectorAll('.waterfall .bar').length > 5");
    await page.value("document.querySelector('details.trace').scrollIntoView()");
    await picture(page, 'waterfall.png');
    await toNode();
    await page.until("document.querySelector('.slowest details') !== null");
    await page.value("document.querySelector('.slowest details').open = true");
    await page.until("document.querySelector('.slowest li span')?.textContent !== undefined");
    const names =
      "[...document.querySelectorAll('.slowest li')].map((one) => one.firstElementChild.textContent)";
    expect(await page.value(names)).toEqual(expect.arrayContaining(['StopContainer', 'addNetwork']));
    await page.value("document.querySelector('.slowest').scrollIntoView()");
    await picture(page, 'slowest.png');
    await page.value("document.querySelector('.slowest details').open = false");
    await page.value("document.getElementById('detail').scrollTop = 0");
    await cri.runtime.removePodSandbox({ podSandboxId: id });
  });

  it('whose disk is full', async () => {
    const filler = join(instance.root, 'filler');
    const { bsize, blocks, bavail } = await statfs(instance.root);
    // leaves half of what pulls must not use
    const left = leastFreeBytes(blocks * bsize) / 2;
    await writeFile(filler, Buffer.alloc(bavail * bsize - left));
    const image = `${registry.address}/test/large:1`;
    await cri.image.removeImage({ image: { image: `${registry.address}/test/busybox:1` } });
    await expect(pull('test/large:1')).rejects.toThrow(/no space left on/u);
    expect(await troupe('why', image)).toMatch(/why Removed\. It failed: .*no space left on/u);
    await toNode();
    await seen('.conditions', 'Disk is full');
    await seen('.disks', 'too little for pulls');
    await seen('.failures', 'no space left on');
    await picture(page, 'full-disk.png');
    await rm(filler);
  });

  it('sends the browser no error', () => {
    expect(page.complaints).toEqual([]);
  });
});
