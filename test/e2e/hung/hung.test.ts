// Helpers that hang (F33, F34, F45, F50): eight pods on file systems that never answer, one on a runtime, one on a CNI
// plugin. They hold up nobody else, say what they wait on, and end on request.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  ContainerState,
  NamespaceMode,
  SecurityProfile_ProfileType,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Actor } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import { introspectionClient } from '../../../src/introspection/client.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import type { DeadMount } from '../../support/dead-mount.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../support/pods.ts';
import type { ContainerConfig, SandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import {
  HangingRuntime,
  Insistent,
  PLUGIN_HANGS_FOR,
  hangPlugin,
  helpers,
  processesWith,
} from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { eventually, until } from '../../support/eventually.ts';

const reason = whyNoDeadMount();
if (reason !== '') console.warn(`skipped: ${reason}`);
const describeHung = reason === '' ? describePods : describe.skip;

type ConfigChange = Partial<ContainerConfig>;

/** Tries of each hanging call before the others are asked. */
const TRIES = 3;

describeHung('helpers that hang', () => {
  const runtime = new HangingRuntime();
  const dead: DeadMount[] = [];
  let world: World;
  let image: string;

  beforeAll(async () => {
    world = await makeWorld({ name: 'hung', handlers: { hanging: runtime.path } });
    hangPlugin(world.instance);
    await world.instance.terminate();
    await world.instance.start();
    image = await world.pull();
  });
  afterAll(async () => {
    for (const mount of dead.splice(0)) mount.remove();
    await world?.close();
    runtime.dispose();
  });

  /** Calls that go on until they are aborted: also when the test fails. */
  const calls: Insistent[] = [];
  afterEach(async () => {
    for (const verb of ['create', 'start', 'exec', 'update', 'delete']) runtime.fix(verb);
    await Promise.all(calls.splice(0).map((call) => call.stop()));
  });
  const insist = (call: ConstructorParameters<typeof Insistent>[0]): Insistent => {
    const insistent = new Insistent(call);
    calls.push(insistent);
    return insistent;
  };

  const deadMount = (at?: string): string => {
    const mount = makeDeadMount(at);
    dead.push(mount);
    return mount.path;
  };
  const pod = (name: string, more: Partial<SandboxConfig> = {}): SandboxConfig =>
    ({ ...sandboxConfig({ name, logDirectory: join(world.logs, name) }), ...more }) as SandboxConfig;
  const container = (more: ConfigChange = {}, name = 'c'): ContainerConfig =>
    ({ ...containerConfig({ name, image, command: untilTermed(0) }), ...more }) as ContainerConfig;
  const explain = async (query: string): Promise<Actor | undefined> =>
    (await introspectionClient(join(world.instance.state, 'introspection.sock'), EVENT_MS).explain({ query }))
      .actor;
  /** A pod that runs, and the call that is to hang: its container's creation. */
  const creating = async (
    config: SandboxConfig,
    request: ContainerConfig,
    runtimeHandler = '',
  ): Promise<Hanging> => {
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config, runtimeHandler });
    const name = config.metadata?.name ?? '';
    return {
      name,
      id: podSandboxId,
      call: insist((options) =>
        world.client.runtime.createContainer(
          { podSandboxId, config: request, sandboxConfig: config },
          options,
        ),
      ),
    };
  };
  const running = (config: SandboxConfig): Hanging => ({
    name: config.metadata?.name ?? '',
    id: '',
    call: insist((options) => world.client.runtime.runPodSandbox({ config }, options)),
  });

  interface Hanging {
    readonly name: string;
    /** Empty for a sandbox that is being made: no client has its id. */
    readonly id: string;
    readonly call: Insistent;
  }

  async function hangingPods(): Promise<Hanging[]> {
    const volume = (hostPath: string) => container({ mounts: [{ hostPath, containerPath: '/data' }] });
    const link = join(world.instance.directory, 'link');
    symlinkSync(deadMount(), link);
    const logs = join(world.logs, 'on-log');
    const pods = [
      running(pod('on-log-directory', { logDirectory: join(deadMount(), 'pods/web') })),
      running(pod('on-log-mount', { logDirectory: deadMount() })),
      await creating(pod('on-volume'), volume(join(deadMount(), 'data'))),
      await creating(pod('on-root'), volume(deadMount())),
      await creating(pod('on-link'), volume(join(link, 'a/b'))),
      await creating(
        pod('on-device'),
        container({
          devices: [{ hostPath: join(deadMount(), 'disk'), containerPath: '/dev/disk', permissions: 'r' }],
        }),
      ),
      await creating(
        pod('on-profile'),
        container({
          linux: {
            securityContext: {
              seccomp: {
                profileType: SecurityProfile_ProfileType.Localhost,
                localhostRef: join(deadMount(), 'profile.json'),
              },
            },
          },
        }),
      ),
    ];
    mkdirSync(logs, { recursive: true });
    const withLog = pod('on-log');
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config: withLog });
    // it dies when the sandbox is up already
    deadMount(join(logs, 'c'));
    const call = insist((options) =>
      world.client.runtime.createContainer(
        { podSandboxId, config: container(), sandboxConfig: withLog },
        options,
      ),
    );
    runtime.hangIn('create');
    return [
      ...pods,
      { name: 'on-log', id: podSandboxId, call },
      await creating(pod('on-runtime'), container(), 'hanging'),
      running(pod(PLUGIN_HANGS_FOR)),
    ];
  }

  test('F33 F50: beside hanging pods another one starts and lists and status answer; each hanging pod says what it waits on, and can be removed completely', async () => {
    const client = world.client.runtime;
    const hanging = await hangingPods();
    expect(dead).toHaveLength(8);
    await until(async () => Promise.resolve(hanging.every(({ call }) => call.timeouts >= TRIES)));

    const config = pod('ninth');
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: container(),
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    expect((await client.execSync({ containerId, cmd: ['true'] })).exitCode).toBe(0);
    expect((await client.listContainers({})).containers.map(({ id }) => id)).toEqual([containerId]);
    expect((await client.listPodSandbox({})).items.map(({ id }) => id).sort()).toEqual(
      [...hanging.flatMap(({ id }) => (id === '' ? [] : [id])), podSandboxId].sort(),
    );
    expect((await client.status({})).status?.conditions.every(({ status }) => status)).toBe(true);
    expect(hanging.filter(({ call }) => call.successes > 0).map(({ name }) => name)).toEqual([]);

    // the daemon reports state and mount, also where the client's own clock was the faster one
    const reported = (what: RegExp): Promise<boolean> =>
      eventually(`a line of the log with ${what.source}`, async () =>
        (await world.instance.log())
          .split('\n')
          .some((line) => line.includes('deadline passed in state') && what.test(line)),
      );
    for (const { path } of dead)
      await reported(
        new RegExp(`deadline passed in state \\S+, waiting on [^"]*the fuse file system at ${path}\\b`, 'u'),
      );
    await reported(/provisioning\.process, waiting on hanging create \(pid \d+\)/u);
    await reported(/network\.adding\}, waiting on CNI ADD bridge \(pid \d+\)/u);

    // the daemon that nobody waits on may not stop the pods' end either
    const ids = await Promise.all(
      hanging.map(async ({ name, id }) => (id === '' ? ((await explain(name))?.id ?? '') : id)),
    );
    await Promise.all(hanging.map(({ call }) => call.stop()));
    await Promise.all(
      ids.map(async (id) => {
        await client.stopPodSandbox({ podSandboxId: id });
        await client.removePodSandbox({ podSandboxId: id });
      }),
    );
    expect((await client.listPodSandbox({})).items.map(({ id }) => id)).toEqual([podSandboxId]);
    await until(() => Promise.resolve(helpers().length === 0));
    runtime.fix('create');
    await client.removePodSandbox({ podSandboxId });
    expect((await client.listPodSandbox({})).items).toEqual([]);
  });

  test.each([
    [
      'start',
      async (id: string) =>
        await world.client.runtime.startContainer({ containerId: id }, { deadlineMs: 1000 }),
    ],
    [
      'exec',
      async (id: string) =>
        await world.client.runtime.execSync({ containerId: id, cmd: ['true'], timeout: 1n }),
    ],
    [
      'update',
      async (id: string) =>
        await world.client.runtime.updateContainerResources(
          { containerId: id, linux: { memoryLimitInBytes: 1n << 28n } },
          { deadlineMs: 1000 },
        ),
    ],
    [
      'delete',
      async (id: string) =>
        await world.client.runtime.removeContainer({ containerId: id }, { deadlineMs: 1000 }),
    ],
  ])(
    'F34: a runtime that hangs in %s holds up no other pod, and its own pod can be removed',
    async (verb, call) => {
      const client = world.client.runtime;
      const config = pod(`in-${verb}`);
      const { podSandboxId } = await client.runPodSandbox({ config, runtimeHandler: 'hanging' });
      const { containerId } = await client.createContainer({
        podSandboxId,
        config: container(),
        sandboxConfig: config,
      });
      if (verb !== 'start') await client.startContainer({ containerId });
      runtime.hangIn(verb);
      await expect(call(containerId)).rejects.toMatchObject({ code: 4 });
      const other = pod(`beside-${verb}`);
      const beside = await client.runPodSandbox({ config: other });
      const { containerId: runs } = await client.createContainer({
        podSandboxId: beside.podSandboxId,
        config: container(),
        sandboxConfig: other,
      });
      await client.startContainer({ containerId: runs });
      expect((await client.listContainers({})).containers.map(({ id }) => id)).toContain(runs);
      await client.removePodSandbox({ podSandboxId: beside.podSandboxId });
      runtime.fix(verb);
      // a delete that is under way is waited for: half of the state may be gone already. An operator can end it
      if (verb === 'delete') for (const { pid } of helpers()) process.kill(pid, 'SIGKILL');
      await client.removePodSandbox({ podSandboxId });
      expect((await client.listPodSandbox({})).items).toEqual([]);
      await until(() => Promise.resolve(helpers().length === 0));
    },
  );

  test('F34 I10: while a runtime hangs in delete the exit is shown, its stop is answered and the next attempt runs; a restart of the daemon releases it', async () => {
    const client = world.client.runtime;
    const config = pod('in-release');
    const { podSandboxId } = await client.runPodSandbox({ config, runtimeHandler: 'hanging' });
    const create = async (attempt: number) =>
      await client.createContainer({
        podSandboxId,
        config: container({ metadata: { name: 'c', attempt }, command: untilTermed(7) }),
        sandboxConfig: config,
      });
    const { containerId } = await create(0);
    await startUntilUp(world.client, containerId);
    runtime.hangIn('delete');
    // far below the bounds of the runtime's delete and the unmount
    await client.stopContainer({ containerId, timeout: 20n }, { deadlineMs: 25_000 });
    const exited = { state: ContainerState.CONTAINER_EXITED, exitCode: 7, reason: 'Error' };
    const { status } = await client.containerStatus({ containerId });
    expect(status).toMatchObject(exited);
    await until(() => Promise.resolve(helpers().length === 1));
    expect((await explain(containerId))?.state).toContain('release.deleting');
    await expect(client.execSync({ containerId, cmd: ['true'] })).rejects.toMatchObject({ code: 9 });

    const { containerId: next } = await create(1);
    await client.startContainer({ containerId: next });
    expect((await client.execSync({ containerId: next, cmd: ['true'] })).exitCode).toBe(0);

    await world.instance.kill();
    runtime.fix('delete');
    await world.instance.start();
    expect((await client.containerStatus({ containerId })).status).toMatchObject({
      ...exited,
      finishedAt: status?.finishedAt,
    });
    await until(async () => (await explain(containerId))?.state === 'exited');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(containerId);
    await client.removePodSandbox({ podSandboxId });
    expect((await client.listPodSandbox({})).items).toEqual([]);
  });

  test('F34: in a PID namespace of the pod no process of a container is left once its exit is shown, though delete hangs and it ended while no daemon was there', async () => {
    const client = world.client.runtime;
    const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } };
    const config = pod('in-pids', { linux });
    const { podSandboxId } = await client.runPodSandbox({ config, runtimeHandler: 'hanging' });
    const orphan = String(20_000_000 + process.pid);
    const signs = join(world.instance.directory, 'signs');
    mkdirSync(signs);
    // with output the monitor would wait for it, and the daemon would find no exit file
    const script = `exec >/dev/null 2>&1; sleep ${orphan} & while [ ! -e /signs/go ]; do sleep 0.1; done; exit 3`;
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: container({
        linux,
        command: ['sh', '-c', script],
        mounts: [{ hostPath: signs, containerPath: '/signs' }],
      }),
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    await until(() => Promise.resolve(processesWith(orphan).length === 1));
    runtime.hangIn('delete');
    await world.instance.kill();
    writeFileSync(join(signs, 'go'), '');
    await until(() => Promise.resolve(existsSync(join(world.instance.state, 'exits', containerId))));
    expect(processesWith(orphan)).toHaveLength(1);
    await world.instance.start();
    await until(async () => {
      const { status } = await client.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED && status.exitCode === 3;
    });
    expect(processesWith(orphan)).toEqual([]);
    expect((await explain(containerId))?.state).toContain('release.deleting');
    runtime.fix('delete');
    await until(() => Promise.resolve(helpers().length === 1));
    for (const { pid } of helpers()) process.kill(pid, 'SIGKILL');
    await client.removePodSandbox({ podSandboxId });
    expect((await client.listPodSandbox({})).items).toEqual([]);
  });

  test('a FIFO is taken as a volume, and refused at once as a log or a profile', async () => {
    const client = world.client.runtime;
    const config = pod('fifo');
    const { podSandboxId } = await client.runPodSandbox({ config });
    const fifo = join(world.instance.directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const { containerId } = await client.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: container({
        mounts: [{ hostPath: fifo, containerPath: '/fifo' }],
        command: ['sh', '-c', '[ -p /fifo ] && exec sleep 1000'],
      }),
    });
    await client.startContainer({ containerId });
    const create = async (name: string, more: ConfigChange) =>
      await client.createContainer({ podSandboxId, sandboxConfig: config, config: container(more, name) });
    execFileSync('mkfifo', [join(world.logs, 'fifo/log')]);
    await expect(create('log', { logPath: 'log' })).rejects.toMatchObject({
      code: 3,
      details: expect.stringContaining('not a regular file') as string,
    });
    const linux = {
      securityContext: {
        seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: fifo },
      },
    };
    await expect(create('profile', { linux })).rejects.toMatchObject({
      code: 3,
      details: expect.stringContaining('not a regular file') as string,
    });
    expect((await client.containerStatus({ containerId })).status?.exitCode).toBe(0);
    await client.removePodSandbox({ podSandboxId });
  });

  test('nothing is left', async () => {
    for (const mount of dead.splice(0)) mount.remove();
    expect(await world.leftovers()).toEqual([]);
  });
});
