/** A driver below a temporary root with a busybox root file system, and the inputs that it wants. */
import { expect } from 'vitest';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
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
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../../src/ports/journal.ts';
import { NO_LIMITS } from '../../../src/ports/resources.ts';
import type { BundleInput } from '../../../src/ports/runtime.ts';
import type { ContainerSpec, ImageConfig, SandboxSpec } from '../../../src/ports/specs.ts';
import type { ContainerId, ImageId, SandboxId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import {
  containerCgroup,
  createLayout,
  pauseCgroup,
  sandboxCgroup,
} from '../../../src/host/sandbox/layout.ts';
import type { Layout } from '../../../src/host/sandbox/layout.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { createRuntimeDriver } from '../../../src/oci/runtime/driver.ts';
import type { RuntimeDriver } from '../../../src/oci/runtime/driver.ts';
import type { BundleWriter, RuntimeDriverOptions } from '../../../src/oci/runtime/container/parts.ts';
import { cgroupPaths, cgroups } from './kernel.ts';
import { createCgroup, removeCgroup } from '../../../src/host/cgroups/cgroups.ts';
import { noBusybox, staticBusybox } from '../../support/tools/debian.ts';
import { fxOf } from '../../support/fx.ts';
import { until } from '../../support/eventually.ts';

export const RUNC = '/usr/sbin/runc';
export const CONMON = '/usr/bin/conmon';
const APPLETS = [
  'sh',
  'sleep',
  'true',
  'false',
  'echo',
  'cat',
  'setsid',
  'yes',
  'head',
  'kill',
  'id',
  'env',
  'tail',
  'dd',
  'nohup',
];

/** Why these tests can't run here; empty when they can. */
export function missing(): string {
  if (process.getuid?.() !== 0) return 'needs root';
  const absent = [RUNC, CONMON].filter((path) => !existsSync(path));
  return absent.length === 0 ? (noBusybox() ?? '') : `needs ${absent.join(', ')}`;
}

export const never = new AbortController().signal;

export const fx = fxOf();

export interface Container {
  readonly id: ContainerId;
  readonly bundle: BundleInput;
  readonly effective: EffectiveContainer;
  readonly logPath: string;
}

export interface Running extends Container {
  readonly init: ProcessIdentity;
}

/** One temporary world; `close` proves that it is clean. */
export class World {
  readonly root: string;
  readonly layout: Layout;
  readonly parent: string;
  readonly sandboxId: SandboxId;
  readonly exits = new Map<string, ExitFact[]>();
  driver: RuntimeDriver;
  readonly #random = realRandom();
  readonly #waiters = new Set<() => void>();
  readonly ids: ContainerId[] = [];

  constructor(
    change: Partial<RuntimeDriverOptions> = {},
    base = tmpdir(),
    below: 'cgroup' | 'slice' = 'cgroup',
  ) {
    this.root = mkdtempSync(join(base, 'troupe-rt-'));
    this.layout = createLayout({ root: join(this.root, 'root'), state: join(this.root, 'state') });
    this.sandboxId = this.#random.id() as SandboxId;
    const token = this.#random.token(6);
    // a dash in the name of a slice is a level
    this.parent = below === 'slice' ? `/trouptest${token}.slice` : `/troupe-test-${token}`;
    makeRootfs(this.rootfs);
    this.driver = this.newDriver(change);
  }

  get rootfs(): string {
    return join(this.root, 'rootfs');
  }

  /** The sandbox's cgroup, then what the driver does at start. */
  async open(): Promise<this> {
    await createCgroup(cgroups, sandboxCgroup(this.parent, this.sandboxId));
    await this.driver.open();
    return this;
  }

  /** A further driver on the same files, as after a restart. */
  newDriver(change: Partial<RuntimeDriverOptions> = {}): RuntimeDriver {
    const driver = createRuntimeDriver({
      clock: realClock(),
      log: silentLog,
      layout: this.layout,
      monitorPath: CONMON,
      toolPath: '/usr/sbin:/usr/bin:/sbin:/bin',
      handlers: [{ name: 'runc', path: RUNC, kind: 'oci' }],
      defaultHandler: 'runc',
      bundles: this.bundleWriter(),
      cgroups,
      ...change,
    });
    driver.onExit((id, exit) => {
      this.exits.set(id, [...(this.exits.get(id) ?? []), exit]);
      for (const wake of this.#waiters) wake();
    });
    return driver;
  }

  /** A request for a container that runs `argv` in busybox; not made yet. */
  container(argv: readonly string[], change: Partial<ContainerSpec> = {}): Container {
    const id = this.#random.id() as ContainerId;
    this.ids.push(id);
    mkdirSync(join(this.root, 'logs'), { recursive: true });
    const name = change.logPath ?? `${id.slice(0, 8)}.log`;
    const logPath = name === '' ? '' : join(this.root, 'logs', name);
    const bundle: BundleInput = {
      id,
      handler: '',
      spec: { ...specOf(this.sandboxId, argv), ...change },
      sandboxId: this.sandboxId,
      sandbox: { cgroupParent: this.parent, handler: '' } as SandboxSpec,
      image: {} as ImageConfig,
      pidNamespaceOf: undefined,
    };
    const effective = { uid: 0, gid: 0, supplementalGroups: [], stopSignal: 'SIGTERM', logPath };
    return { id, bundle, effective, logPath };
  }

  async create(container: Container, driver = this.driver): Promise<ProcessIdentity> {
    await driver.writeBundle(container.bundle, fx);
    return driver.create({ ...container.bundle, effective: container.effective }, fx);
  }

  async run(argv: readonly string[], change: Partial<ContainerSpec> = {}): Promise<Running> {
    const container = this.container(argv, change);
    const init = await this.create(container);
    this.driver.watch({ ...container.bundle, init });
    await this.driver.start(container.bundle, fx);
    return { ...container, init };
  }

  /** The first exit reported for this container. */
  async exitOf(id: ContainerId): Promise<ExitFact> {
    for (;;) {
      const exit = this.exits.get(id)?.[0];
      if (exit !== undefined) return exit;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          resolve();
        };
        this.#waiters.add(wake);
      });
    }
  }

  bundleWriter(): BundleWriter {
    return {
      writeBundle: async (input) => {
        writeConfig(this.layout.bundleDir(input.id), this.rootfs, [...(input.spec.command ?? [])], {
          cgroup: containerCgroup(this.parent, input.id),
          terminal: input.spec.tty,
          memoryBytes: input.spec.resources.memoryLimitBytes,
        });
        return { uid: 0, gid: 0, supplementalGroups: [], stopSignal: 'SIGTERM', logPath: '' };
      },
      updateDocument: ({ memoryLimitBytes }) =>
        JSON.stringify({ memory: { limit: Number(memoryLimitBytes ?? -1n) } }),
      writePauseBundle: async (input) => {
        const cgroup = pauseCgroup(this.parent, input.id);
        writeConfig(this.layout.pauseBundleDir(input.id), this.rootfs, ['sleep', '1000'], {
          cgroup,
          terminal: false,
          memoryBytes: undefined,
        });
      },
    };
  }

  /** Destroys every container, then lists what is left anywhere of this world: must be empty. */
  async close(): Promise<string[]> {
    for (const id of this.ids)
      await this.driver.destroy({ id, handler: '', spec: specOf(this.sandboxId, []) }, fx);
    this.driver.close();
    const left = [...this.ids, this.sandboxId].flatMap((id) => this.leftovers(id));
    // a monitor that has written the exit may be about to end, and the kernel holds its cgroup a moment longer
    await until(
      async () =>
        await removeCgroup(cgroups, this.parent).then(
          () => true,
          (error: unknown) => {
            if (String(error).includes('EBUSY')) return false;
            throw error;
          },
        ),
    );
    left.push(...cgroupPaths(this.parent).filter((path) => existsSync(path)));
    rmSync(this.root, { recursive: true });
    return left;
  }

  /** Processes, files and cgroups of a container. */
  leftovers(id: ContainerId | SandboxId): string[] {
    const own = [
      this.layout.containerDir(id as ContainerId),
      this.layout.exitFile(id as ContainerId),
      join(this.layout.runtimeRoot('runc'), id),
    ];
    const cgroups = cgroupPaths(containerCgroup(this.parent, id as ContainerId));
    return [...own, ...cgroups].filter((path) => existsSync(path)).concat(processesNaming(id));
  }
}

/** Command lines of live processes that name the id, or whose cgroup does. */
export function processesNaming(id: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .flatMap((pid) => {
      try {
        if (/^State:\s+Z/mu.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return [];
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
        return line.includes(id) || cgroup.includes(`troupe-${id}`) ? [`${pid} ${line}`] : [];
      } catch {
        return [];
      }
    });
}

/** Waits until the container's log has the text. */
export async function logged(path: string, text: string): Promise<void> {
  await until(() => existsSync(path) && readFileSync(path, 'utf8').includes(text));
}

/** Waits until no process of the container is left. */
export async function gone(id: string): Promise<void> {
  await until(() => processesNaming(id).length === 0);
}

export const monitorPidOf = ({ layout }: World, id: string): number =>
  Number(readFileSync(layout.monitorPidFile(id as ContainerId), 'utf8'));

/** A runtime that is a script; `$verb` is the runtime's verb. */
export function fakeRuntime(directory: string, script: string): Partial<RuntimeDriverOptions> {
  const path = wrapper(
    directory,
    'fake-runc',
    `for word in "$@"; do case $word in create|start|delete|exec) verb=$word;; esac; done\n${script}`,
  );
  return { handlers: [{ name: 'runc', path, kind: 'oci' }] };
}

/** A script that stands in for a program; its words are those of sh. */
export function wrapper(directory: string, name: string, script: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

function makeRootfs(path: string): void {
  for (const name of ['bin', 'proc', 'dev', 'tmp', 'etc', 'sys'])
    mkdirSync(join(path, name), { recursive: true });
  copyFileSync(staticBusybox(), join(path, 'bin/busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(path, 'bin', applet));
}

interface ConfigRequest {
  readonly cgroup: string;
  readonly terminal: boolean;
  readonly memoryBytes: bigint | undefined;
}

function writeConfig(bundleDir: string, rootfs: string, args: string[], request: ConfigRequest): void {
  mkdirSync(bundleDir, { recursive: true });
  execFileSync(RUNC, ['spec', '--bundle', bundleDir]);
  const path = join(bundleDir, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as {
    process: { args: string[]; terminal: boolean; env: string[] };
    root: { path: string; readonly: boolean };
    linux: { cgroupsPath: string; resources: { memory?: object } };
  };
  config.process.args = args;
  config.process.terminal = request.terminal;
  config.process.env = ['PATH=/bin', 'MARK=from the container'];
  config.root = { path: rootfs, readonly: true };
  config.linux.cgroupsPath = request.cgroup;
  if (request.memoryBytes !== undefined)
    config.linux.resources.memory = { limit: Number(request.memoryBytes) };
  rmSync(path);
  writeFileSync(path, JSON.stringify(config));
}

function specOf(sandboxId: SandboxId, argv: readonly string[]): ContainerSpec {
  const namespaces = { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined } as const;
  return {
    key: { sandboxId, name: 'c', attempt: 0 },
    imageRequested: 'busybox',
    imageUserSpecified: '',
    imageId: `sha256:${'0'.repeat(64)}` as ImageId,
    command: argv,
    args: [],
    workingDir: '',
    env: [],
    mounts: [],
    devices: [],
    labels: {},
    annotations: {},
    logPath: 'c.log',
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: NO_LIMITS,
    security: {
      privileged: false,
      capabilities: { add: [], drop: [], addAmbient: [] },
      namespaces,
      user: {
        runAsUser: undefined,
        runAsUsername: '',
        runAsGroup: undefined,
        supplementalGroups: [],
        supplementalGroupsPolicy: 'merge',
      },
      readonlyRootfs: false,
      noNewPrivs: true,
      maskedPaths: [],
      readonlyPaths: [],
      seccomp: { type: 'unconfined', path: '' },
      apparmorProfile: '',
    },
    stopSignal: '',
  };
}

/** Matches a message, where the type wants a string. */
export const message = (pattern: RegExp): string => expect.stringMatching(pattern) as string;
