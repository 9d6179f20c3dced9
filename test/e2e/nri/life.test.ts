// A plugin built from NRI's own module beside a real daemon: what it hears, in which order, and what it receives.
import { copyFile, chmod, mkdir, readdir, readlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nriPlugin } from '../../support/tools/nri-plugin.ts';
import { describePods } from '../support/crictl.ts';
import type { World } from '../support/world.ts';
import { nriWorld, PluginFiles, Pods, SocketPlugin } from './support.ts';
import { eventually } from '../../support/eventually.ts';

/** What the pod `a` and its container are, as the events of their life show it. */
async function expectDetails(plugin: SocketPlugin): Promise<void> {
  const heard = await plugin.heard();
  expect(heard.find(({ event }) => event === 'Configure')?.text).toMatch(/^troupe \d/);
  expect(heard.find(({ event }) => event === 'RunPodSandbox')?.detail).toMatchObject({
    name: 'a',
    namespace: 'default',
    uid: 'uid-a',
    annotations: { note: 'kept' },
    ips: [expect.stringMatching(/^10\./)],
  });
  expect(heard.find(({ event }) => event === 'CreateContainer')?.detail).toMatchObject({
    name: 'main',
    state: 'CONTAINER_CREATED',
    args: expect.arrayContaining(['sh', '-c']) as unknown,
    env: expect.arrayContaining([expect.stringMatching(/^PATH=/)]) as unknown,
    mounts: expect.arrayContaining([expect.objectContaining({ destination: '/proc' })]) as unknown,
    linux: {
      resources: { cpu: { shares: { value: '2' } } },
      namespaces: expect.arrayContaining([expect.objectContaining({ type: 'network' })]) as unknown,
    },
  });
  expect(heard.find(({ event }) => event === 'PostStartContainer')?.detail).toMatchObject({
    state: 'CONTAINER_RUNNING',
    pid: expect.any(Number) as unknown,
  });
  expect(heard.find(({ event }) => event === 'StopContainer')?.detail).toMatchObject({
    state: 'CONTAINER_STOPPED',
    linux: expect.anything() as unknown,
  });
}

describePods('NRI: the life of a pod', () => {
  let world: World;
  let pods: Pods;
  let plugin: SocketPlugin;
  beforeAll(async () => {
    world = await nriWorld('nril');
    pods = await Pods.of(world);
    plugin = await new SocketPlugin(world, '10', 'observer').start();
  });
  afterAll(async () => {
    await plugin.stop();
    await world.close();
  });

  test('a plugin gets every event in order, with the pod and the container', async () => {
    const pod = await pods.run('a', { note: 'kept' });
    const container = await pods.create(pod, 'a', 'main');
    await pods.start(container);
    await world.client.runtime.updateContainerResources({
      containerId: container,
      linux: { cpuShares: 512n },
    });
    await world.client.runtime.updatePodSandboxResources({
      podSandboxId: pod,
      overhead: {},
      resources: { cpuShares: 512n },
    });
    await world.client.runtime.stopContainer({ containerId: container, timeout: 5n });
    await world.client.runtime.removeContainer({ containerId: container });
    await pods.end(pod);
    expect(await plugin.eventsOf(container)).toEqual([
      'CreateContainer',
      'ValidateContainerAdjustment',
      'PostCreateContainer',
      'StartContainer',
      'PostStartContainer',
      'UpdateContainer',
      'PostUpdateContainer',
      'StopContainer',
      'RemoveContainer',
    ]);
    expect(await plugin.eventsOf(pod)).toEqual([
      'RunPodSandbox',
      'UpdatePodSandbox',
      'PostUpdatePodSandbox',
      'StopPodSandbox',
      'RemovePodSandbox',
    ]);
    await expectDetails(plugin);
  });

  test('a second stop sends no event; an end by itself sends one', async () => {
    const pod = await pods.run('b');
    const container = await pods.create(pod, 'b', 'main', { command: ['false'] });
    await pods.start(container);
    await eventually('StopContainer', async () =>
      (await plugin.eventsOf(container)).includes('StopContainer') ? true : undefined,
    );
    expect((await plugin.last('StopContainer')).detail).toMatchObject({
      state: 'CONTAINER_STOPPED',
      exitCode: 1,
      statusReason: 'Error',
    });
    await world.client.runtime.stopContainer({ containerId: container, timeout: 1n });
    await world.client.runtime.stopPodSandbox({ podSandboxId: pod });
    await pods.end(pod);
    expect((await plugin.eventsOf(container)).filter((event) => /^(Stop|Remove)/.test(event))).toEqual([
      'StopContainer',
      'RemoveContainer',
    ]);
    expect(await plugin.eventsOf(pod)).toEqual(['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox']);
  });

  test('a plugin that registers later, also with a restarted daemon, gets the existing pods and containers', async () => {
    const pod = await pods.run('c');
    const container = await pods.create(pod, 'c', 'main');
    await pods.start(container);
    const later = await new SocketPlugin(world, '20', 'later').start();
    try {
      expect((await later.last('Synchronize')).detail).toEqual([`pod ${pod}`, `container ${container}`]);
      await world.instance.kill();
      await world.instance.start();
      await plugin.stop();
      await plugin.forget();
      await plugin.start();
      expect((await plugin.last('Synchronize')).detail).toEqual([`pod ${pod}`, `container ${container}`]);
      await pods.end(pod);
      expect(await plugin.eventsOf(container)).toEqual(['StopContainer', 'RemoveContainer']);
    } finally {
      await later.stop();
    }
  });

  test('an unsolicited update is carried out, and failures are reported', async () => {
    const pod = await pods.run('d');
    const container = await pods.create(pod, 'd', 'main');
    await pods.start(container);
    const update = (containerId: string) => ({
      containerId,
      linux: { resources: { cpu: { shares: { value: 333 } } } },
    });
    await plugin.does({ UpdateContainers: { update: [update(container)] } });
    plugin.signal('SIGUSR1');
    expect(await plugin.last('UpdateContainers')).toMatchObject({ text: '<nil>', detail: null });
    const { status } = await world.client.runtime.containerStatus({ containerId: container });
    expect(status?.resources?.linux?.cpuShares).toBe(333n);
    await plugin.does({ UpdateContainers: { update: [update('unknown')] } });
    await plugin.forget();
    plugin.signal('SIGUSR1');
    expect((await plugin.last('UpdateContainers')).text).toMatch(/unknown/);
    await plugin.does({});
    await pods.end(pod);
  });
});

describePods('NRI: plugins of the directory', () => {
  let world: World;
  let directory: string;
  const files = (name: string): PluginFiles => new PluginFiles(directory, name);
  /** Names of the plugins that run. */
  const programs = async (): Promise<string[]> => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const links = await Promise.all(
      pids.map(async (pid) => await readlink(`/proc/${pid}/exe`).catch(() => '')),
    );
    return links
      .filter((link) => link.startsWith(`${directory}/plugins/`))
      .map((link) => basename(link))
      .toSorted();
  };
  beforeAll(async () => {
    const program = await nriPlugin();
    world = await nriWorld('nrid', (own) => {
      directory = own;
      return `plugin_dir = "${own}/plugins"\nplugin_config_dir = "${own}/conf.d"\n`;
    });
    await world.instance.terminate();
    for (const name of ['plugins', 'conf.d']) await mkdir(join(directory, name), { recursive: true });
    for (const name of ['10-first', '20-second']) {
      await copyFile(program, join(directory, 'plugins', name));
      await chmod(join(directory, 'plugins', name), 0o755);
    }
    await writeFile(join(directory, 'plugins/notes.txt'), 'no plugin');
    await writeFile(
      join(directory, 'conf.d/10-first.conf'),
      JSON.stringify({ log: files('first').log, script: files('first').script }),
    );
    await writeFile(
      join(directory, 'conf.d/second.conf'),
      JSON.stringify({ log: files('second').log, script: files('second').script }),
    );
    await world.instance.start();
  });
  afterAll(async () => await world.close());

  test('configured plugins start with their configuration before the first pod, in order; they end when dropped, and with the daemon', async () => {
    const pods = await Pods.of(world);
    await files('first').does({ CreateContainer: { adjust: { env: [{ key: 'FROM', value: 'first' }] } } });
    const pod = await pods.run('e');
    const container = await pods.create(pod, 'e', 'main');
    expect(await files('first').eventsOf(pod)).toEqual(['RunPodSandbox']);
    const seen = (await files('second').last('CreateContainer')).detail as { env: string[] };
    expect(seen.env).toContain('FROM=first');
    await pods.start(container);
    await files('second').does({ StopContainer: { hang: true } });
    await pods.end(pod);
    await eventually('the one that hung has ended', async () =>
      (await programs()).includes('20-second') ? undefined : true,
    );
    expect(await programs()).toEqual(['10-first']);
    expect(await world.instance.terminate()).toBe(0);
    await files('first').last('Shutdown');
    expect(await programs()).toEqual([]);
  });
});
