/** Streams into a container whose processes are a shim's: exec and attach by crictl, on a pod with its own network. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { shimNamespace } from '../../../src/oci/runtime/shim/launch.ts';
import { connectSpdy, openCommand } from '../../integration/streaming/clients.ts';
import { shimRuncV2 } from '../../support/tools/go-tools.ts';
import { Crictl, containerJson, describePods, podJson, untilHolds } from '../support/crictl.ts';
import type { Json } from '../support/crictl.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { crictlWith, inTerminal } from './support.ts';
import { until } from '../../support/eventually.ts';

describePods('crictl exec and attach with a shim', () => {
  let world: World;
  let crictl: Crictl;
  let image: string;
  let pod: { readonly id: string; readonly file: string };
  let main: string;

  beforeAll(async () => {
    world = await makeWorld({
      name: 'strs',
      config: `[runtime.handlers.shim]\ntype = "vm"\npath = "${await shimRuncV2()}"\n`,
    });
    crictl = new Crictl(world);
    image = await world.pull();
    const file = await crictl.file(podJson('streams', { log_directory: world.logs }));
    pod = { id: await crictl.ok('runp', '--runtime', 'shim', file), file };
    main = await container('main', 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done');
  });
  afterAll(async () => {
    await world.instance.crictl(['rmp', '-f', '-a']);
    // runc's root of this instance's namespace, which no shim takes away
    await rm(join('/run/containerd/runc', shimNamespace(createLayout(world.instance))), {
      recursive: true,
      force: true,
    });
    const left = await world.leftovers();
    await world.close();
    expect(left).toEqual([]);
  });

  const container = (name: string, script: string, more: Json = {}): Promise<string> =>
    crictl.runContainer(pod, containerJson(name, image, ['sh', '-c', script], more));
  const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

  it('the pod has an address of its own', async () => {
    const { status } = await crictl.json<{ status: { network: { ip: string } } }>('inspectp', pod.id);
    const said = await crictlWith(world, ['exec', main, 'ip', '-4', 'addr', 'show', 'eth0']);
    expect(said.stdout.toString()).toContain(status.network.ip);
  });

  it.each([['spdy'], ['websocket']])(
    '%s: exec returns both outputs and the exit code, and carries 10 MiB both ways, ended by a half-close',
    async (transport) => {
      const ended = await crictlWith(world, [
        'exec',
        '--transport',
        transport,
        main,
        'sh',
        '-c',
        'echo out; echo err >&2; exit 42',
      ]);
      expect([ended.stdout.toString(), ended.code]).toEqual(['out\n', 1]);
      expect(ended.stderr).toContain('command terminated with exit code 42');
      const bytes = randomBytes(10 * 1024 * 1024);
      const copied = await crictlWith(
        world,
        ['exec', '-i', '--transport', transport, main, 'sh', '-c', 'cat; echo end >&2'],
        bytes,
      );
      expect(sha(copied.stdout)).toBe(sha(bytes));
      expect(copied.stderr).toContain('end\n');
    },
  );

  it('exec carries a terminal, its size and input', async () => {
    const said = await inTerminal(
      world,
      ['exec', '-it', main, 'sh', '-c', 'tty; stty size; read line; echo "got <$line>"; exit 0'],
      'typed\n',
    );
    expect(said).toContain('/dev/pts/0');
    expect(said).toContain('33 111');
    expect(said).toContain('got <typed>');
  });

  it('a missing program is reported; a client that disconnects ends its process; no exec leaves a file', async () => {
    const absent = await crictlWith(world, ['exec', main, '/no/such/program']);
    expect(absent.stderr).toContain('no such file or directory');
    const { url } = await world.client.runtime.exec({
      containerId: main,
      cmd: ['sh', '-c', 'echo up; sleep 98765'],
      stdout: true,
      stderr: true,
    });
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    const { stdout } = await openCommand(client, 'stdout', 'stderr');
    await until(() => Promise.resolve(stdout.size() > 0));
    client.close();
    await until(
      async () => !(await crictlWith(world, ['exec', main, 'ps'])).stdout.toString().includes('98765'),
    );
    await until(
      async () =>
        !(await readdir(join(world.instance.state, 'containers', main))).some((name) =>
          name.startsWith('shim-exec'),
        ),
    );
  });

  it('attach: input arrives, and with stdin_once its end ends the program', async () => {
    const id = await container('once', 'cat; echo over', { stdin: true, stdin_once: true });
    const ended = await crictlWith(world, ['attach', '-i', id], Buffer.from('by attach\n'));
    expect(ended.stdout.toString()).toContain('by attach\n');
    await until(async () => (await crictl.container(id)).status.state === 'CONTAINER_EXITED');
    expect(await untilHolds(join(world.logs, 'once.log'), 'stdout F over')).toContain('stdout F by attach');
  });

  it('attach: a terminal takes its size from the client', async () => {
    const script =
      'read line; until stty size 2>/dev/null | grep 111; do sleep 0.05; done; echo "got <$line>"';
    const id = await container('tty', script, { stdin: true, tty: true });
    const said = await inTerminal(world, ['attach', '-it', id], 'typed\n');
    expect(said).toContain('33 111');
    expect(said).toContain('got <typed>');
  });
});
