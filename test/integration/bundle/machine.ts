/** A root file system of busybox, a layout in a temporary directory, and a container run by the real runc. */
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
  copyFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BundleInput } from '../../../src/ports/runtime.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { cgroupParentOf, createLayout } from '../../../src/host/sandbox/layout.ts';
import type { Layout } from '../../../src/host/sandbox/layout.ts';
import { createBundleWriter } from '../../../src/oci/runtime/bundle/bundle.ts';
import type { BundleFiles } from '../../../src/oci/runtime/bundle/bundle.ts';
import { CdiRegistry } from '../../../src/oci/runtime/bundle/cdi/registry.ts';
import { HookDirectories } from '../../../src/oci/runtime/bundle/hooks/hook-directories.ts';
import { probeSpecHost } from '../../../src/oci/runtime/bundle/host/bundle-host.ts';
import type { SpecHandler, SpecHost } from '../../../src/oci/runtime/spec/input.ts';
import { noBusybox, staticBusybox } from '../../support/tools/debian.ts';
import { CONTAINER_ID, SANDBOX_ID, inputOf } from '../../unit/oci/runtime/spec/fixtures.ts';
import { fxOf } from '../../support/fx.ts';

const APPLETS = [
  'sh',
  'mkdir',
  'mknod',
  'cat',
  'id',
  'ls',
  'sleep',
  'true',
  'stat',
  'pwd',
  'env',
  'mount',
  'chroot',
  'echo',
];

/** Why these tests can't run here; undefined when they can. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (spawnSync('runc', ['--version']).status !== 0) return 'needs runc on PATH';
  return noBusybox();
}

export const fx = fxOf();

export interface Machine {
  readonly layout: Layout;
  readonly host: SpecHost;
  readonly writer: BundleFiles;
  /** Of the container `CONTAINER_ID`. */
  readonly rootfs: string;
  readonly dir: string;
  readonly cgroupParent: string;
  /** Runs runc with our own state root; throws with its stderr. */
  runc(...args: string[]): string;
  /** create, start, and the output until every holder of the pipe has ended; then delete. */
  run(): Promise<string>;
  remove(): void;
}

export async function makeMachine(handler: Partial<SpecHandler> = {}): Promise<Machine> {
  const dir = mkdtempSync(join(tmpdir(), 'troupe-bundle-'));
  const layout = createLayout({ root: join(dir, 'root'), state: join(dir, 'state') });
  const host = await probeSpecHost();
  const rootfs = layout.rootfs(CONTAINER_ID);
  makeRootfs(rootfs);
  const files = layout.sandboxFiles(SANDBOX_ID);
  mkdirSync(files.shm, { recursive: true });
  for (const path of [files.resolvConf, files.hosts, files.hostname]) writeFileSync(path, 'made by a test\n');
  const cgroupParent = `/${dir.split('/').at(-1) ?? ''}`;
  const handlerFeatures = (): SpecHandler => ({ recursiveReadOnlyMounts: true, ...handler });
  const runc = (...args: string[]): string => runcSync(layout, args);
  const node = {
    hooks: new HookDirectories(() => [join(dir, 'hooks.d')]),
    cdi: new CdiRegistry(() => [join(dir, 'cdi'), join(dir, 'cdi-run')]),
  };
  return {
    layout,
    host,
    writer: createBundleWriter({ layout, clock: realClock(), log: silentLog, host, handlerFeatures, node }),
    rootfs,
    dir,
    cgroupParent,
    runc,
    run: () => runToEnd(layout, runc),
    remove: () => {
      removeCgroups(cgroupParent);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function makeRootfs(rootfs: string): void {
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev'])
    mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(staticBusybox(), join(rootfs, 'bin/busybox'));
  for (const name of APPLETS) symlinkSync('busybox', join(rootfs, 'bin', name));
  writeFileSync(
    join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001:Alice:/home/alice:/bin/sh\n',
  );
  writeFileSync(
    join(rootfs, 'etc/group'),
    'root:x:0:\nusers:x:1001:\nwheel:x:2000:alice\naudio:x:2001:bob,alice\n',
  );
}

function runcSync(layout: Layout, args: readonly string[]): string {
  const done = spawnSync('runc', ['--root', layout.runtimeRoot('runc'), ...args], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`runc ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

async function runToEnd(layout: Layout, runc: Machine['runc']): Promise<string> {
  const argv = [
    '--root',
    layout.runtimeRoot('runc'),
    'create',
    '--bundle',
    layout.bundleDir(CONTAINER_ID),
    CONTAINER_ID,
  ];
  // the container's init inherits the pipe: its end is the end of the container
  const child = spawn('runc', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  try {
    if (code !== 0) {
      await closed;
      throw new Error(`runc create: ${complaint}`);
    }
    runc('start', CONTAINER_ID);
    await closed;
    return output + complaint;
  } finally {
    spawnSync('runc', ['--root', layout.runtimeRoot('runc'), 'delete', '--force', CONTAINER_ID]);
  }
}

/** runc leaves the parent that it made; only this test's own name is touched. */
function removeCgroups(parent: string): void {
  for (const hierarchy of ['.', ...readdirSync('/sys/fs/cgroup')]) {
    removeTree(join('/sys/fs/cgroup', hierarchy, cgroupParentOf(parent)));
  }
}

function removeTree(path: string): void {
  try {
    accessSync(path);
  } catch {
    return;
  }
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  rmdirSync(path);
}

/** What a test changes of the request for the container. */
export type Changes = NonNullable<Parameters<typeof inputOf>[0]>;

/** Namespaces of a pod on the node's network and IPC. */
export const nodeNamespaces = {
  network: 'node',
  ipc: 'node',
  pid: 'container',
  targetId: undefined,
} as const;

/** The parts of config.json that tests check. */
export interface BundleConfig {
  readonly mounts: readonly {
    readonly destination: string;
    readonly source: string;
    readonly options: readonly string[];
  }[];
  readonly linux: {
    readonly cgroupsPath: string;
    readonly devices: readonly { readonly path: string; readonly major: number; readonly minor: number }[];
    readonly seccomp?: { readonly defaultAction: string };
  };
}

/** A container of a pod on the host's network and IPC, so that no pins are needed. */
export function bundleInput(machine: Machine, changes: Changes = {}): BundleInput {
  const namespaces = nodeNamespaces;
  const input = inputOf({
    ...changes,
    image: { workingDir: '/', env: [], ...changes.image },
    sandbox: {
      namespaces,
      cgroupParent: machine.cgroupParent,
      logDirectory: join(machine.dir, 'logs'),
      ...changes.sandbox,
    },
    security: { namespaces, ...changes.security },
  });
  return {
    id: CONTAINER_ID,
    handler: '',
    spec: input.spec,
    sandboxId: SANDBOX_ID,
    sandbox: input.sandbox,
    image: input.image,
    pidNamespaceOf: undefined,
  };
}

/** The fields of /proc/PID/status. */
export function statusOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\n').map((line) => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
  );
}

export function readConfig(machine: Machine): unknown {
  return JSON.parse(readFileSync(machine.layout.configJson(CONTAINER_ID), 'utf8'));
}
