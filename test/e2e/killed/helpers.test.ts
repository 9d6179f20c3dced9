// Helpers that a daemon was waiting for when it was killed, each stopped before its effect: the next daemon ends them
// before it reads any state, and what it then reports and does is the truth.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { NamespaceMode } from '../../../src/gen/runtime/v1/api_pb.ts';
import { HELPER_VARIABLE } from '../../../src/host/process/helper-mark.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { shimNamespace } from '../../../src/oci/runtime/shim/launch.ts';
import { fakeCriu } from '../../integration/daemon/fake-criu.ts';
import { gatedProgram, isRunning } from '../../support/gated-program.ts';
import type { GatedProgram } from '../../support/gated-program.ts';
import { run } from '../../support/run.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import { checkout } from '../../support/tools/cache.ts';
import { runc14, shimRuncV2 } from '../../support/tools/go-tools.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import type { ContainerConfig, SandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World, WorldOptions } from '../support/world.ts';
import { unless } from '../../support/skips/unless.ts';

const RUNC = '/usr/sbin/runc';
const CRUN = '/usr/bin/crun';
const PLUGINS = existsSync('/usr/lib/cni/bridge') ? '/usr/lib/cni' : '/opt/cni/bin';

/** A directory of the test's own. */
function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-late-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** `program`, but for calls that the shell pattern matches: those wait at the gate. */
function gatedWhen(directory: string, program: string, pattern: string, path: string): GatedProgram {
  const gated = gatedProgram(directory, program);
  onTestFinished(gated.close);
  writeFileSync(
    path,
    `#!/bin/sh\ncase " $CNI_COMMAND $* " in ${pattern}) exec ${gated.path} "$@";; esac\nexec ${program} "$@"\n`,
  );
  chmodSync(path, 0o755);
  return gated;
}

/** The machine's CNI plugins in a directory of the test's, with portmap at its gate when it is to add. */
function gatedPortmap(directory: string, plugins: string): GatedProgram {
  mkdirSync(plugins);
  for (const name of readdirSync(PLUGINS))
    if (name !== 'portmap') symlinkSync(join(PLUGINS, name), join(plugins, name));
  return gatedWhen(directory, join(PLUGINS, 'portmap'), '*" ADD "*', join(plugins, 'portmap'));
}

async function worldOf(options: WorldOptions): Promise<World> {
  const world = await makeWorld(options);
  onTestFinished(world.close);
  return world;
}

/**
 * SIGKILL while a call waits for the gated program, and the next instance: the program is gone when the next instance
 * serves.
 */
async function nextLife(world: World, call: Promise<unknown>, gated: GatedProgram): Promise<void> {
  const cut = call.then(
    () => 'answered',
    () => 'cut',
  );
  const pid = await gated.started();
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain(`${HELPER_VARIABLE}=`);
  await world.instance.kill();
  expect([await cut, isRunning(pid)]).toEqual(['cut', true]);
  await world.instance.start();
  expect(isRunning(pid)).toBe(false);
  expect(await world.instance.log()).toContain('killed a helper of an earlier daemon');
}

async function makePod(
  world: World,
  config: SandboxConfig,
  runtimeHandler = '',
): Promise<{ readonly podSandboxId: string; readonly create: (name: string) => Promise<string> }> {
  const { runtime } = world.client;
  const image = await world.pull();
  const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler });
  return {
    podSandboxId,
    create: async (name) => {
      const container = containerConfig({ name, image, command: untilTermed(0), hostNetwork: true });
      return (await runtime.createContainer({ podSandboxId, sandboxConfig: config, config: container }))
        .containerId;
    },
  };
}

const metadataOf = (name: string) => ({ name, namespace: 'default', uid: `uid-${name}`, attempt: 0 });
const withHostPort = (world: World): SandboxConfig => ({
  metadata: metadataOf('p'),
  logDirectory: join(world.logs, 'p'),
  portMappings: [{ containerPort: 80, hostPort: 38_123 }],
});
const onHostNetwork = (world: World): SandboxConfig =>
  sandboxConfig({ name: 'p', logDirectory: join(world.logs, 'p'), hostNetwork: true });

describePods('helpers of a daemon that was killed', () => {
  it.each(['runc', 'crun'])(
    'F03 %s start: a container reported as created has not started, and the next StartContainer starts it',
    async (name) => {
      const directory = scratch();
      const runtime = join(directory, name);
      const late = gatedWhen(directory, name === 'runc' ? RUNC : CRUN, '*" start "*', runtime);
      const world = await worldOf({ name: 'late', runtimePath: runtime });
      const { runtime: client } = world.client;
      const pod = await makePod(world, onHostNetwork(world));
      const containerId = await pod.create('c');
      const states = async (): Promise<readonly number[]> =>
        (await client.listContainers({})).containers.map(({ state }) => state);
      await nextLife(world, client.startContainer({ containerId }), late);
      expect(await states()).toEqual([0]);
      late.open();
      await client.startContainer({ containerId });
      expect(await states()).toEqual([1]);
      await client.removePodSandbox({ podSandboxId: pod.podSandboxId });
      expect(await world.leftovers()).toEqual([]);
    },
  );

  it('F01 an ADD that outlives the daemon leaves no rule for a removed pod', async () => {
    const directory = scratch();
    const plugins = join(directory, 'bin');
    const late = gatedPortmap(directory, plugins);
    const world = await worldOf({ name: 'late', config: `plugin_dirs = ["${plugins}"]` });
    await nextLife(world, world.client.runtime.runPodSandbox({ config: withHostPort(world) }), late);
    expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
    expect(await world.leftovers()).toEqual([]);
  });

  it('I2 wipe deletes nothing before the helpers have ended, so that none of them makes it again', async () => {
    const directory = scratch();
    const plugins = join(directory, 'bin');
    const late = gatedPortmap(directory, plugins);
    const world = await worldOf({ name: 'late', config: `plugin_dirs = ["${plugins}"]` });
    const cut = world.client.runtime.runPodSandbox({ config: withHostPort(world) }).catch(() => 'cut');
    const pid = await late.started();
    await world.instance.kill();
    expect([await cut, isRunning(pid)]).toEqual(['cut', true]);
    const { root, state, directory: own } = world.instance;
    const wiped = await run([
      join(checkout, 'bin/troupe'),
      'wipe',
      '--force',
      '--config',
      join(own, 'troupe.toml'),
      '--root',
      root,
      '--state',
      state,
      '--socket',
      world.instance.socket,
    ]);
    expect([wiped.code, wiped.stderr, isRunning(pid), readdirSync(root), readdirSync(state)]).toEqual([
      0,
      '',
      false,
      [],
      [],
    ]);
    await world.instance.start();
    expect(await world.leftovers()).toEqual([]);
  });

  const erofs = storageDrivers().find(({ name }) => name === 'erofs');
  unless(it, erofs === undefined ? 'the kernel has no erofs' : erofs.whyNot)(
    'F07 an mkfs.erofs that outlives the daemon writes into no image of the next pull',
    async () => {
      const directory = scratch();
      const program = join(directory, 'mkfs.erofs');
      const late = gatedWhen(directory, erofs?.program ?? '', '*/layers/*', program);
      const world = await worldOf({
        name: 'late',
        config: `[storage]\ndriver = "erofs"\nerofs_program = "${program}"\n`,
      });
      await nextLife(world, world.pull(), late);
      late.open();
      // nobody is left to go on
      const { create, podSandboxId } = await makePod(world, onHostNetwork(world));
      await world.client.runtime.startContainer({ containerId: await create('c') });
      await world.client.runtime.removePodSandbox({ podSandboxId });
      expect(await world.leftovers()).toEqual([]);
      const layers = join(world.instance.root, 'layers');
      // its files serve as they are
      expect(readdirSync(layers).map((name) => readdirSync(join(layers, name)).toSorted())).toEqual([
        ['diff', 'layer.json'],
      ]);
    },
  );

  it('CheckpointContainer: a pause that outlives the daemon freezes no thawed container', async () => {
    const directory = scratch();
    const fake = fakeCriu();
    onTestFinished(fake.remove);
    const path = join(directory, 'runtime');
    const late = gatedWhen(directory, fake.runtime, '*" pause "*', path);
    const world = await worldOf({
      name: 'late',
      handlers: { fake: path },
      config: `[runtime]\ncriu = "${fake.criu}"\n`,
    });
    const { runtime } = world.client;
    const pod = await makePod(world, onHostNetwork(world), 'fake');
    const containerId = await pod.create('c');
    await runtime.startContainer({ containerId });
    await nextLife(
      world,
      runtime.checkpointContainer({ containerId, location: join(fake.directory, 'c.tar'), timeout: 0n }),
      late,
    );
    late.open();
    expect((await runtime.execSync({ containerId, cmd: ['true'], timeout: 20n })).exitCode).toBe(0);
    expect(readdirSync(fake.directory).filter((name) => name.startsWith('c.tar'))).toEqual([]);
    await runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });

  it('S64: no monitor, shim or process of a pod has the helper mark, with any runtime', async () => {
    const shim = await shimRuncV2();
    const world = await worldOf({
      name: 'late',
      handlers: { crun: CRUN, newer: await runc14() },
      config: `[runtime.handlers.shim]\ntype = "vm"\npath = "${shim}"\n`,
    });
    const { runtime } = world.client;
    const image = await world.pull();
    const kinds: readonly (readonly [string, NamespaceMode])[] = [
      ['', NamespaceMode.POD],
      ['', NamespaceMode.NODE],
      ['crun', NamespaceMode.POD],
      ['newer', NamespaceMode.CONTAINER],
      ['shim', NamespaceMode.CONTAINER],
    ];
    for (const [at, kind] of kinds.entries()) await runMarked(world, image, `p${at}`, kind);
    const processes = ofCgroup(world.instance.cgroupParent);
    const named = (word: string): number => processes.filter(({ command }) => command.includes(word)).length;
    expect([named('/conmon'), named('shim'), named('sleep 3600')].every((count) => count > 0)).toBe(true);
    expect(processes.filter(({ environment }) => environment.includes(HELPER_VARIABLE))).toEqual([]);
    for (const { id } of (await runtime.listPodSandbox({})).items)
      await runtime.removePodSandbox({ podSandboxId: id });
    rmSync(join('/run/containerd/runc', shimNamespace(createLayout(world.instance))), {
      recursive: true,
      force: true,
    });
    expect(await world.leftovers()).toEqual([]);
  });
});

/** A pod with a container that waits and one that runs, in which an exec leaves a process behind. */
async function runMarked(
  world: World,
  image: string,
  name: string,
  [runtimeHandler, pid]: readonly [string, NamespaceMode],
): Promise<void> {
  const { runtime } = world.client;
  const namespaceOptions = { network: NamespaceMode.NODE, pid, ipc: NamespaceMode.POD };
  const config: SandboxConfig = {
    metadata: metadataOf(name),
    logDirectory: join(world.logs, name),
    linux: { securityContext: { namespaceOptions } },
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler });
  const make = async (containerName: string): Promise<string> => {
    const container: ContainerConfig = {
      metadata: { name: containerName },
      image: { image },
      command: untilTermed(0),
      logPath: `${containerName}.log`,
      linux: { securityContext: { namespaceOptions } },
    };
    return (await runtime.createContainer({ podSandboxId, sandboxConfig: config, config: container }))
      .containerId;
  };
  await make('waits');
  const containerId = await make('runs');
  await runtime.startContainer({ containerId });
  // what it leaves in the container goes on as long as that
  const { stdout } = await runtime.execSync({
    containerId,
    cmd: ['sh', '-c', 'env; sleep 3600 > /dev/null 2>&1 &'],
  });
  expect(Buffer.from(stdout).toString()).not.toContain(HELPER_VARIABLE);
}

interface Process {
  readonly command: string;
  readonly environment: string;
}

/** Everything in cgroups below this one: of helpers none, which are in the daemon's own. */
function ofCgroup(path: string): Process[] {
  const found: Process[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/u.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cgroup`, 'latin1').includes(`${path}/`)) continue;
      const [command = '', environment = ''] = ['cmdline', 'environ'].map((file) =>
        readFileSync(`/proc/${pid}/${file}`, 'utf8'),
      );
      found.push({ command: command.replaceAll('\0', ' '), environment });
    } catch {
      // it has ended meanwhile
    }
  }
  return found;
}
