// The table of docs/start.md: what a start reads and opens is taken, hangs or is something else. The daemon serves, and
// says what is wrong (F89).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { World } from '../../e2e/support/world.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import { injects } from '../../support/faults/injects.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { hostOnlyWorld, makePod, removePod } from './pod.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const held = injects('F89', 'SIGTERM while the start waits for a plugin that does not register');
const fifos = injects('F89', 'a FIFO in the place of each directory below root and state');

async function falseConditions({ client: { runtime } }: World): Promise<Map<string, string>> {
  const { status } = await runtime.status({});
  return new Map(
    (status?.conditions ?? [])
      .filter(({ status: isTrue }) => !isTrue)
      .map(({ type, message }) => [type, message]),
  );
}

/** A port that somebody else has; it takes connections and never answers. */
async function takenPort(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, server };
}

interface Taken {
  readonly port: number;
}

/** A plugin that connects to nothing, until a file of this name is in the directory: then it exits. */
function makeSilentPlugin(directory: string): string {
  const gate = join(directory, 'gate');
  mkdirSync(join(directory, 'plugins'));
  const program = `#!/bin/sh\nwhile ! [ -e ${gate} ]; do sleep 0.1; done\n`;
  writeFileSync(join(directory, 'plugins/10-silent'), program, { mode: 0o755 });
  return gate;
}

/** Ports that are taken, directories in the place of the sockets, and a plugin that says nothing. */
function configTaken(
  directory: string,
  { streaming, page, collector }: Readonly<Record<'streaming' | 'page' | 'collector', Taken>>,
): string {
  makeSilentPlugin(directory);
  mkdirSync(join(directory, 'nri.sock/x'), { recursive: true });
  mkdirSync(join(directory, 'state/introspection.sock/x'), { recursive: true });
  return [
    '[streaming]',
    'address = "127.0.0.1"',
    `port = ${streaming.port}`,
    '[introspection]',
    `http_address = "127.0.0.1:${page.port}"`,
    'metrics = "open"',
    '[nri]',
    `socket = "${directory}/nri.sock"`,
    `plugin_dir = "${directory}/plugins"`,
    `plugin_config_dir = "${directory}/conf.d"`,
    'registration_timeout_ms = 500',
    '[tracing]',
    `endpoint = "http://127.0.0.1:${collector.port}"`,
  ].join('\n');
}

unless(describe, notRoot())('a start', () => {
  const closing: (() => unknown)[] = [];
  const worldOf = async (name: string, config: (directory: string) => string = () => ''): Promise<World> => {
    const world = await hostOnlyWorld(name, { config });
    closing.push(() => world.close());
    return world;
  };

  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });

  it('F89 serves with its ports taken, directories in place of sockets, a plugin and a collector that never answer; ports freed later are used', async () => {
    const [streaming, page, collector] = await Promise.all([takenPort(), takenPort(), takenPort()]);
    for (const { server } of [streaming, page, collector]) closing.push(() => server.close());
    const world = await worldOf('ports', (directory) =>
      configTaken(directory, { streaming, page, collector }),
    );
    const {
      instance,
      client: { runtime },
    } = world;
    const partsFailed = async (): Promise<string> => (await falseConditions(world)).get('PartsStarted') ?? '';
    // NRI comes after the recovery
    await expect.poll(partsFailed).toMatch(/nri: .*not a socket/u);
    for (const part of [
      /streaming server: .*EADDRINUSE/u,
      /introspection page: .*EADDRINUSE/u,
      /introspection socket: .*not a socket/u,
      /nri plugin 10-silent: /u,
    ])
      expect(await partsFailed()).toMatch(part);
    const degraded = (await instance.log()).split('\n').filter((line) => line.includes('"degraded"'));
    for (const part of [
      'streaming server',
      'introspection page',
      'introspection socket',
      'nri',
      'nri plugin 10-silent',
    ])
      expect(degraded.filter((line) => line.includes(`"${part}"`))).toHaveLength(1);
    // pods are started all the same
    const { sandboxId, containerId } = await makePod(world, 'pod');
    await runtime.startContainer({ containerId });
    await expect(runtime.exec({ containerId, cmd: ['true'], stdout: true })).rejects.toThrow('EADDRINUSE');
    for (const { server } of [streaming, page]) await new Promise((resolve) => server.close(resolve));
    for (const path of [join(instance.state, 'introspection.sock'), join(instance.directory, 'nri.sock')])
      rmSync(path, { recursive: true });
    // the plugin that did not come in is started by nobody any more
    await expect.poll(partsFailed, { interval: 250 }).toMatch(/^nri plugin 10-silent: [^;]*$/u);
    expect((await runtime.exec({ containerId, cmd: ['true'], stdout: true })).url).toContain(
      `:${streaming.port}/`,
    );
    expect(await (await fetch(`http://127.0.0.1:${page.port}/metrics`)).text()).toContain(
      'troupe_degraded{condition="PartsStarted"} 1',
    );
    const { stdout } = await run([join(checkout, 'bin/troupe'), 'status', '--state', instance.state]);
    expect(stdout).toMatch(/PartsStarted is false: nri plugin 10-silent: /u);
    await removePod(world, sandboxId);
  });

  it('F89 drains on SIGTERM from its first answer on, also while it waits for a silent plugin', async () => {
    let gate = '';
    const world = await worldOf('term', (directory) => {
      gate = makeSilentPlugin(directory);
      return ['[nri]', `plugin_dir = "${directory}/plugins"`, 'registration_timeout_ms = 20000'].join('\n');
    });
    const { instance } = world;
    expect(await instance.log()).not.toContain('"msg":"serving"');
    const ended = instance.terminate();
    held.happened();
    writeFileSync(gate, '');
    expect(await ended).toBe(0);
    expect(await instance.log()).toContain('draining, containers go on');
    expect(await world.leftovers()).toEqual([]);
  });

  it('F89 serves with another kind of file in the place of each of our directories', async () => {
    const world = await worldOf('dirs');
    const {
      instance: { root, state, kill, start },
    } = world;
    await kill();
    const places = [
      ...[
        'layers',
        'partial',
        'trash',
        'ingest',
        'containers',
        'signatures',
        'cni',
        'checkpoints',
        'restores',
        'chains',
      ].map((name) => join(root, name)),
      ...['containers', 'exits', 'sandboxes', 'runtimes', 'handlers', 'shims', 'ns'].map((name) =>
        join(state, name),
      ),
    ];
    // mounted on itself, so that pins don't spread
    execFileSync('umount', ['-l', join(state, 'ns')]);
    for (const path of places) {
      if (existsSync(path)) renameSync(path, `${path}.kept`);
      execFileSync('mkfifo', [path]);
    }
    await start();
    await expect
      .poll(async () => (await falseConditions(world)).get('DebrisRemoved') ?? '')
      .toContain('more');
    fifos.happened(places.length);
    const { stdout } = await run([join(checkout, 'bin/troupe'), 'status', '--state', state]);
    expect(stdout).toContain('DebrisRemoved is false: ');
    expect((await falseConditions(world)).get('PartsStarted')).toContain('handlers');
    // an image can be had and a container run, without anybody's help
    const { sandboxId, containerId } = await makePod(world, 'after');
    await world.client.runtime.startContainer({ containerId });
    await removePod(world, sandboxId);
    for (const path of places) expect(existsSync(path), path).toBe(true);
  });

  const why = whyNoDeadMount();
  if (why !== '') process.stdout.write(`skipped: an image store that does not answer: ${why}\n`);

  it('F89 serves without image stores that are missing, not directories or do not answer, and names each', async () => {
    const dead = why === '' ? makeDeadMount() : undefined;
    if (dead !== undefined) closing.push(() => dead.remove());
    const unusable: string[] = dead === undefined ? [] : [dead.path];
    const world = await worldOf('store', (directory) => {
      const at = (name: string): string => join(directory, name);
      writeFileSync(at('file'), '');
      execFileSync('mkfifo', [at('fifo')]);
      mkdirSync(at('marked'));
      execFileSync('mkfifo', [at('marked/storage-driver')]);
      unusable.push(at('missing'), at('file'), at('fifo'), at('marked'));
      return `[storage]\nadditional_stores = [${unusable.map((path) => JSON.stringify(path)).join(', ')}]`;
    });
    const { instance } = world;
    const log = (await instance.log()).split('\n').filter((line) => line.includes('"degraded"'));
    for (const path of unusable)
      expect(
        log.filter((line) => line.includes(`"image store ${path}"`)),
        path,
      ).toHaveLength(1);
    const shown = (await falseConditions(world)).get('PartsStarted');
    expect(shown).toContain(`image store ${unusable[0]}: `);
    const { stdout } = await run([join(checkout, 'bin/troupe'), 'status', '--state', instance.state]);
    expect(stdout).toContain('PartsStarted is false: ');
    const { sandboxId, containerId } = await makePod(world, 'pod');
    await world.client.runtime.startContainer({ containerId });
    await removePod(world, sandboxId);
  });
});
