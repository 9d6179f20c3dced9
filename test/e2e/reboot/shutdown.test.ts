// F88: the machine is shut down while images are pulled and containers made: SIGTERM, and SIGKILL before all is done.
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { status as codes } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { insecure } from '../../support/registry/rig.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { SlowRuntime } from '../support/slow-runtime.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';

const shutDown = injects('F88', 'SIGTERM, then SIGKILL, in the middle of a pull and a creation');

const MIB = 1024 * 1024;

describePods('a daemon that is shut down in the middle of its work', () => {
  const slow = new SlowRuntime();
  let registry: FakeRegistry;
  let world: World;
  let image: string;
  let isHeld = true;
  let sent = false;

  beforeAll(async () => {
    registry = await FakeRegistry.start();
    for (const name of ['big', 'other']) {
      const layer = await layerOf([{ name: 'file', content: randomBytes(6 * MIB) }], 'none');
      registry.push(name, 'v', imageOf([layer]));
      registry.on(new RegExp(`/blobs/${layer.digest}$`, 'u'), (_request, response) => {
        response.writeHead(200, { 'content-length': layer.bytes.byteLength });
        if (!isHeld) return void response.end(layer.bytes);
        // the rest never comes
        response.write(layer.bytes.subarray(0, 5 * MIB), () => (sent = true));
      });
    }
    world = await makeWorld({
      name: 'shut',
      runtimePath: slow.path,
      shortNames: () => insecure(registry.host),
    });
    image = await world.pull();
  });
  afterAll(async () => {
    await world.close();
    await registry.close();
    await slow.dispose();
  });

  test('F88 F12: a shutdown aborts running calls without leftovers, keeps finished work, and the same calls succeed after the next start', async () => {
    const {
      instance,
      client: { runtime, image: images },
    } = world;
    const codeOf = (call: Promise<unknown>): Promise<number> =>
      call.then(
        () => codes.OK,
        (error: { code: number }) => error.code,
      );
    const pod = sandboxConfig({ name: 'pod', logDirectory: join(world.logs, 'pod') });
    const container = (name: string) => containerConfig({ name, image, command: untilTermed(0) });
    const big = { image: { image: `${registry.host}/big:v` } };
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: container('lasting'),
      sandboxConfig: pod,
    });
    await runtime.startContainer({ containerId });
    slow.close();
    const creating = codeOf(
      runtime.createContainer({ podSandboxId, config: container('cut'), sandboxConfig: pod }),
    );
    const pulling = codeOf(images.pullImage(big));
    await until(async () => sent && (await slow.isWaiting()));

    process.kill(instance.pid(), 'SIGTERM');
    shutDown.happened();
    await until(async () => (await instance.log()).includes('draining, containers go on'));
    await until(async () => (await codeOf(runtime.listPodSandbox({}))) === codes.UNAVAILABLE);
    await instance.kill();
    expect([await creating, await pulling]).toEqual([codes.UNAVAILABLE, codes.UNAVAILABLE]);
    await slow.open();
    isHeld = false;
    await instance.start();

    expect((await runtime.listPodSandbox({})).items.map(({ id }) => id)).toEqual([podSandboxId]);
    expect((await runtime.containerStatus({ containerId })).status).toMatchObject({ state: 1, exitCode: 0 });
    expect((await images.imageStatus(big)).image).toBeUndefined();
    const { containerId: again } = await runtime.createContainer({
      podSandboxId,
      config: container('cut'),
      sandboxConfig: pod,
    });
    await runtime.startContainer({ containerId: again });
    expect((await runtime.listContainers({})).containers.map(({ id }) => id).toSorted()).toEqual(
      [containerId, again].toSorted(),
    );
    expect((await images.pullImage(big)).imageRef).not.toBe('');
    await runtime.removePodSandbox({ podSandboxId });
    await images.removeImage(big);
    expect(readdirSync(join(instance.root, 'partial'))).toEqual([]);
    expect(await world.leftovers()).toEqual([]);
  });

  test('F88: with nothing under way but a pull the daemon stops at once, and the caller learns why', async () => {
    const { instance, client } = world;
    // the check for leftovers has ended it
    await instance.start();
    const other = { image: { image: `${registry.host}/other:v` } };
    [isHeld, sent] = [true, false];
    const answer = client.image.pullImage(other).then(
      () => 'it was pulled',
      ({ code, details }: { readonly code: number; readonly details: string }) => [code, details],
    );
    let early: unknown;
    void answer.then((given) => (early = given));
    await until(() => sent || early !== undefined);
    expect(early).toBeUndefined();
    await instance.terminate();
    // the server would otherwise wait for the call as long as it may, and then end the connection without a reason
    expect(await answer).toEqual([
      codes.UNAVAILABLE,
      expect.stringMatching(
        /^PullImage \S+: the daemon is stopping, in state fetching; the next start continues it/u,
      ),
    ]);
    isHeld = false;
    await instance.start();
    expect((await client.image.pullImage(other)).imageRef).not.toBe('');
    await client.image.removeImage(other);
  });
});
