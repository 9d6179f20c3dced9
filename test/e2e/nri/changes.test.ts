// What plugins change: visible in the container, undone when one refuses, and never waited for beyond the bound.
import { access } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { describePods } from '../support/crictl.ts';
import type { World } from '../support/world.ts';
import { nriWorld, Pods, SocketPlugin } from './support.ts';
import { eventually } from '../../support/eventually.ts';

describePods('NRI: adjustments, refusals, plugins that fail', () => {
  let world: World;
  let pods: Pods;
  let a: SocketPlugin;
  let b: SocketPlugin;
  beforeAll(async () => {
    world = await nriWorld(
      'nric',
      () =>
        'request_timeout_ms = 3000\n[nri.default_validator]\nenable = true\nreject_oci_hook_adjustment = true\n',
    );
    pods = await Pods.of(world);
    a = await new SocketPlugin(world, '10', 'a').start();
    b = await new SocketPlugin(world, '20', 'b').start();
  });
  afterEach(async () => {
    await a.does({});
    await b.does({});
  });
  afterAll(async () => {
    await a.stop();
    await b.stop();
    await world.close();
  });

  test('the container has a plugin’s adjustment', async () => {
    await a.does({
      CreateContainer: {
        adjust: {
          annotations: { 'from.plugin': 'yes' },
          env: [{ key: 'ADDED', value: 'one' }, { key: '-HOSTNAME' }],
          args: [...['sh', '-c', 'echo adjusted > /tmp/args; while :; do sleep 3600 & wait $!; done']],
          mounts: [
            { destination: '/from-plugin', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'size=64k'] },
          ],
          rlimits: [{ type: 'RLIMIT_NOFILE', hard: 512, soft: 256 }],
          linux: {
            devices: [{ path: '/dev/added', type: 'c', major: 1, minor: 7, fileMode: { value: 0o666 } }],
            resources: { memory: { limit: { value: 64 << 20 } }, cpu: { shares: { value: 444 } } },
            oomScoreAdj: { value: 900 },
            namespaces: [{ type: 'uts' }],
          },
        },
      },
    });
    const pod = await pods.run('a');
    const container = await pods.create(pod, 'a', 'main');
    await pods.start(container);
    await eventually('its own command has run', async () =>
      (await pods.sh(container, 'cat /tmp/args')) === 'adjusted' ? true : undefined,
    );
    expect(await pods.sh(container, "tr '\\0' '\\n' < /proc/1/environ")).toMatch(/^ADDED=one$/m);
    expect(await pods.sh(container, "tr '\\0' '\\n' < /proc/1/environ")).not.toMatch(/^HOSTNAME=/m);
    expect(await pods.sh(container, 'grep from-plugin /proc/self/mounts')).toMatch(/tmpfs .*size=64k/);
    expect(await pods.sh(container, "grep 'open files' /proc/1/limits")).toMatch(/256 +512/);
    expect(await pods.sh(container, 'head -c 1 /dev/added 2>&1 || echo full')).not.toMatch(/permitted/);
    expect(await pods.sh(container, 'cat /proc/1/oom_score_adj')).toBe('900');
    const { status } = await world.client.runtime.containerStatus({ containerId: container });
    expect(status?.resources?.linux).toMatchObject({
      memoryLimitInBytes: 64n << 20n,
      cpuShares: 444n,
      oomScoreAdj: 900n,
    });
    // the next plugin saw it, and later events carry it
    expect((await b.last('CreateContainer')).detail).toMatchObject({
      env: expect.arrayContaining(['ADDED=one']) as unknown,
    });
    expect((await b.last('StartContainer')).detail).toMatchObject({
      linux: { oomScoreAdj: { value: '900' } },
    });
    await world.instance.kill();
    await world.instance.start();
    const again = await world.client.runtime.containerStatus({ containerId: container });
    expect(again.status?.resources?.linux).toMatchObject({ memoryLimitInBytes: 64n << 20n, cpuShares: 444n });
    for (const plugin of [a, b]) {
      await plugin.stop();
      await plugin.start();
    }
    await pods.end(pod);
  });

  test('a refusal of RunPodSandbox undoes the pod, says who and why, and the next try works', async () => {
    await b.does({ RunPodSandbox: { error: 'no pods on a Friday' } });
    await expect(pods.run('b')).rejects.toThrow(/nri plugin 20-b refused RunPodSandbox: no pods on a Friday/);
    const refused = (await a.last('RunPodSandbox')).pod ?? '';
    expect(await a.eventsOf(refused)).toEqual(['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox']);
    expect((await pods.listed()).pods).toEqual([]);
    await b.does({});
    await pods.end(await pods.run('b'));
  });

  test('a refusal of CreateContainer undoes the container, and the next try works', async () => {
    const pod = await pods.run('c');
    await b.does({ CreateContainer: { error: 'not this one' } });
    await expect(pods.create(pod, 'c', 'main')).rejects.toThrow(
      /nri plugin 20-b refused CreateContainer: not this one/,
    );
    expect((await pods.listed()).containers).toEqual([]);
    const refused = (await a.last('CreateContainer')).container ?? '';
    expect(await a.eventsOf(refused)).toEqual(['CreateContainer', 'StopContainer', 'RemoveContainer']);
    await b.does({ StartContainer: { error: 'not now' } });
    const container = await pods.create(pod, 'c', 'main');
    await expect(pods.start(container)).rejects.toThrow(/nri plugin 20-b refused StartContainer: not now/);
    await pods.end(pod);
  });

  test('when two plugins set the same field the container is not created and both are named', async () => {
    const pod = await pods.run('d');
    const adjust = { env: [{ key: 'SAME', value: 'x' }] };
    await a.does({ CreateContainer: { adjust } });
    await b.does({ CreateContainer: { adjust } });
    await expect(pods.create(pod, 'd', 'main')).rejects.toThrow(/plugins 10-a and 20-b both set Env SAME/);
    await b.does({ CreateContainer: { adjust: { env: [{ key: '-SAME' }, ...adjust.env] } } });
    await pods.create(pod, 'd', 'main');
    await pods.end(pod);
  });

  test('the configuration and a plugin can reject a container', async () => {
    const pod = await pods.run('e');
    await a.does({ CreateContainer: { adjust: { hooks: { prestart: [{ path: '/bin/true' }] } } } });
    await expect(pods.create(pod, 'e', 'main')).rejects.toThrow(
      /plugin 10-a adjusted OCI hooks of container main/,
    );
    await a.does({ CreateContainer: { adjust: { env: [{ key: 'X', value: '1' }] } } });
    await b.does({ ValidateContainerAdjustment: { error: 'no X here' } });
    await expect(pods.create(pod, 'e', 'main')).rejects.toThrow(/20-b.*no X here/);
    expect((await b.last('ValidateContainerAdjustment')).detail).toMatchObject({
      adjust: { env: [{ key: 'X', value: '1' }] },
      plugins: [
        { name: 'a', index: '10' },
        { name: 'b', index: '20' },
      ],
    });
    await pods.end(pod);
  });

  test('a plugin can change other containers at a creation, but not one that is being created', async () => {
    const pod = await pods.run('f');
    const first = await pods.create(pod, 'f', 'first');
    await pods.start(first);
    await a.does({
      CreateContainer: {
        update: [{ containerId: first, linux: { resources: { cpu: { shares: { value: 777 } } } } }],
      },
    });
    await pods.create(pod, 'f', 'second');
    const { status } = await world.client.runtime.containerStatus({ containerId: first });
    expect(status?.resources?.linux?.cpuShares).toBe(777n);
    await pods.end(pod);
  });

  test('a plugin that is killed during a call, or hangs, is dropped; the pod goes on within the bound', async (context) => {
    await a.does({ RunPodSandbox: { die: true } });
    const pod = await pods.run('g');
    await b.does({ CreateContainer: { hang: true } });
    const creating = pods.create(pod, 'g', 'main');
    await eventually('the plugin was asked', async () =>
      (await b.heard()).some(({ event, pod: of }) => event === 'CreateContainer' && of === pod)
        ? true
        : undefined,
    );
    let isDropped = false;
    void creating.then(() => (isDropped = true));
    // a call that joins says what it waits on; a client that is slow itself sees only its own deadline
    await eventually('a call that joins says what it waits on', async () => {
      const said = await pods.create(pod, 'g', 'main', { deadlineMs: 500 }).catch(String);
      return isDropped || said.includes('waiting on nri 20-b CreateContainer for');
    });
    const wasLate = isDropped;
    const container = await creating;
    const log = await world.instance.log();
    expect(log).toMatch(/"plugin":"10-a".*nri plugin left/);
    expect(log).toMatch(
      /"plugin":"20-b","reason":"CreateContainer: timed out after 3000 ms waiting for an answer".*nri plugin left/,
    );
    const { info } = await world.client.runtime.status({ verbose: true });
    expect(JSON.parse(info['nri'] ?? '[]')).toEqual(
      expect.arrayContaining([
        { id: '20-b', gone: 'CreateContainer: timed out after 3000 ms waiting for an answer' },
      ]),
    );
    await pods.start(container);
    await pods.end(pod);
    for (const plugin of [a, b]) {
      await plugin.stop();
      await plugin.does({});
      await plugin.start();
    }
    if (wasLate) stoodStill(context, 'the plugin was dropped before a call had joined');
  });

  test('a daemon killed during a call to a plugin undoes the partial pod at its next start', async (context) => {
    const pod = await pods.run('h');
    await b.does({ CreateContainer: { hang: true } });
    const outcome = pods.create(pod, 'h', 'main').catch(String);
    await eventually('the plugin was asked', async () =>
      (await b.heard()).some(({ event, pod: of }) => event === 'CreateContainer' && of === pod)
        ? true
        : undefined,
    );
    await world.instance.kill();
    const said = await outcome;
    const isLate = /^[0-9a-f]{64}$/u.test(said);
    if (!isLate) expect(said).toMatch(/UNAVAILABLE|CANCELLED|dropped/u);
    await world.instance.start();
    await b.does({});
    for (const plugin of [a, b]) {
      await plugin.stop();
      await plugin.forget();
      await plugin.start();
      const { detail } = await plugin.last('Synchronize');
      if (!isLate) expect(detail).toEqual([`pod ${pod}`]);
    }
    const container = await pods.create(pod, 'h', 'main');
    expect((await pods.listed()).containers).toEqual([container]);
    await pods.end(pod);
    if (isLate) stoodStill(context, 'the plugin was dropped before the daemon was killed');
  });

  test('nothing is left', async () => {
    await a.stop();
    await b.stop();
    expect(await world.leftovers()).toEqual([]);
    await expect(access(`${world.instance.directory}/nri.sock`)).rejects.toThrow(/ENOENT/);
    await world.instance.start();
  });
});
