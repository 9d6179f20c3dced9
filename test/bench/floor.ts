// The floor: what a pod's start and end cost when nobody keeps books. The same CNI plugins, conmon and runtime one
// after the other, the same OCI configuration as the daemon's own container has, started by the same posix_spawn.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerId } from '../../src/base/ids.ts';
import { realClock } from '../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../src/host/kernel-thread/kernel-thread.ts';
import {
  type PinRequest,
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  unpinNamespaces,
} from '../../src/host/namespaces/namespaces.ts';
import { runTool } from '../../src/host/process/process-tool.ts';
import { realRandom } from '../../src/host/clock/random.ts';
import { watchDirectory } from '../../src/host/process/watch.ts';
import { createMonitorArgv, monitorEnv } from '../../src/oci/runtime/monitor/conmon.ts';
import { launchMonitor } from '../../src/oci/runtime/monitor/launch.ts';
import { MAPPED, PLAIN, type Setting } from './setting.ts';

/** ms that each part took. */
export type Parts = Readonly<Record<string, number>>;

export interface FloorPod {
  readonly id: string;
  readonly startParts: Parts;
  /** Ends it and takes it away; the parts of that. */
  readonly stop: () => Promise<Parts>;
}

export interface FloorOptions {
  /** An own directory, and an own cgroup parent. */
  readonly directory: string;
  readonly cgroupParent: string;
  readonly runtimePath: string;
  readonly monitorPath: string;
  readonly conflist: string;
  readonly pluginDir: string;
  /** config.json of the daemon's container whose pod stays up meanwhile, by `templateName`. */
  readonly templates: ReadonlyMap<string, string>;
}

/** Of pods that differ in their configuration. */
export const templateName = (network: 'pod' | 'host', { name }: Setting): string => `${network}, ${name}`;

const TOOL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Those of the daemon's pods. */
const MAPPINGS = { uids: MAPPED, gids: MAPPED };
const TOOL_TIMEOUT_MS = 60_000;

interface SpecTemplate {
  readonly linux: {
    readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
    cgroupsPath: string;
  };
}

interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly ({ readonly type: string; readonly capabilities?: object } & Readonly<
    Record<string, unknown>
  >)[];
}

/** Where the machine has its CNI plugins. */
export function cniPluginDirectory(): string {
  const found = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'].find((directory) =>
    existsSync(join(directory, 'bridge')),
  );
  if (found === undefined) throw new Error('no CNI plugin bridge on this machine');
  return found;
}

/** The loop's own state: directories, the watch for exit files, namespace pins. */
export class Floor {
  readonly #options: FloorOptions;
  readonly #network: Conflist;
  readonly #clock = realClock();
  readonly #random = realRandom();
  readonly #waiting = new Map<string, () => void>();
  #closeWatch = (): void => undefined;

  constructor(options: FloorOptions) {
    this.#options = options;
    this.#network = JSON.parse(readFileSync(options.conflist, 'utf8')) as Conflist;
  }

  async open(): Promise<void> {
    for (const name of ['ns', 'exits', 'bundles', 'runc']) mkdirSync(this.#path(name), { recursive: true });
    await preparePinRoot(this.#path('ns'));
    const watch = await watchDirectory(this.#path('exits'), {
      onName: (name) => this.#waiting.get(name)?.(),
      onRescan: () => undefined,
    });
    this.#closeWatch = () => watch.close();
  }

  async close(): Promise<void> {
    this.#closeWatch();
    await stopKernelThread();
    await releasePinRoot(this.#path('ns'));
  }

  /** netns → CNI ADD → conmon and runtime create → runtime start. */
  async start(network: 'pod' | 'host', setting = PLAIN): Promise<FloorPod> {
    const id = this.#random.id();
    const parts: Record<string, number> = {};
    const kinds: Pick<PinRequest, 'net' | 'ipc' | 'uts' | 'user'> = {
      net: network === 'pod',
      ipc: true,
      uts: network === 'pod',
      ...(setting.hasUsers ? { user: { program: this.#path('userns'), mappings: MAPPINGS } } : {}),
    };
    await timed(parts, 'namespaces', () =>
      pinNamespaces({ directory: this.#path('ns', id), ...kinds, sysctls: [] }, this.#clock),
    );
    let result: object | undefined;
    if (network === 'pod') result = await timed(parts, 'CNI ADD', () => this.#add(id));
    await timed(parts, 'conmon + create', () => this.#create(id, templateName(network, setting)));
    await timed(parts, 'start', () => this.#runtime('start', id));
    return { id, startParts: parts, stop: () => this.#stop(id, network, result) };
  }

  async #stop(id: string, network: 'pod' | 'host', result: object | undefined): Promise<Parts> {
    const parts: Record<string, number> = {};
    const bundle = this.#path('bundles', id);
    const pid = Number(readFileSync(join(bundle, 'pid'), 'utf8'));
    await timed(parts, 'kill to exit', async () => {
      const file = this.#path('exits', id);
      const ended = new Promise<void>((resolve) => void this.#waiting.set(id, resolve));
      process.kill(pid, 'SIGKILL');
      if (!existsSync(file)) await ended;
      this.#waiting.delete(id);
      rmSync(file);
    });
    await timed(parts, 'delete', () => this.#runtime('delete', id));
    if (network === 'pod') await timed(parts, 'CNI DEL', () => this.#del(id, result));
    await timed(parts, 'namespaces', () => unpinNamespaces(this.#path('ns', id)));
    rmSync(bundle, { recursive: true });
    return parts;
  }

  async #add(id: string): Promise<object> {
    let result: object | undefined;
    for (const plugin of this.#network.plugins)
      result = JSON.parse(await this.#plugin('ADD', id, plugin, result)) as object;
    return result ?? {};
  }

  async #del(id: string, result: object | undefined): Promise<void> {
    for (const plugin of this.#network.plugins.toReversed()) await this.#plugin('DEL', id, plugin, result);
  }

  async #plugin(
    command: 'ADD' | 'DEL',
    id: string,
    plugin: Conflist['plugins'][number],
    prevResult: object | undefined,
  ): Promise<string> {
    const { capabilities: _capabilities, ...own } = plugin;
    const { cniVersion, name } = this.#network;
    const { pluginDir } = this.#options;
    return await this.#tool([join(pluginDir, plugin.type)], {
      env: {
        PATH: TOOL_PATH,
        CNI_COMMAND: command,
        CNI_PATH: pluginDir,
        CNI_CONTAINERID: id,
        CNI_NETNS: this.#path('ns', id, 'net'),
        CNI_IFNAME: 'eth0',
        CNI_ARGS: 'IgnoreUnknown=1',
      },
      stdin: Buffer.from(
        JSON.stringify({ ...own, cniVersion, name, ...(prevResult === undefined ? {} : { prevResult }) }),
      ),
    });
  }

  async #create(id: string, template: string): Promise<void> {
    const bundle = this.#path('bundles', id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(this.#spec(id, template)));
    const { monitorPath, runtimePath } = this.#options;
    const { sync, stderr } = await launchMonitor({
      argv: createMonitorArgv({
        monitorPath,
        runtimePath,
        id: id as ContainerId,
        bundleDir: bundle,
        runtimeArgs: [`--root=${this.#path('runc')}`],
        pidFile: join(bundle, 'pid'),
        monitorPidFile: join(bundle, 'conmon.pid'),
        exitsDir: this.#path('exits'),
        logPath: join(bundle, 'log'),
        tty: false,
        stdin: false,
        stdinOnce: false,
      }),
      env: monitorEnv(TOOL_PATH, true),
      cwd: bundle,
      beforeStart: () => Promise.resolve(),
      clock: this.#clock,
    });
    const answer = await sync.next({ clock: this.#clock, timeoutMs: TOOL_TIMEOUT_MS });
    sync.close();
    const said = stderr.text();
    stderr.close();
    if (typeof answer === 'string' || !/"pid":\s*[1-9]/.test(answer.line)) {
      throw new Error(`floor: conmon said ${typeof answer === 'string' ? answer : answer.line} ${said}`);
    }
  }

  #spec(id: string, name: string): object {
    const template = JSON.parse(
      readFileSync(this.#options.templates.get(name) ?? '', 'utf8'),
    ) as SpecTemplate;
    const kindOf: Readonly<Record<string, string>> = { network: 'net', ipc: 'ipc', uts: 'uts', user: 'user' };
    const namespaces = template.linux.namespaces.map((namespace) => {
      const kind = kindOf[namespace.type];
      return namespace.path === undefined || kind === undefined
        ? namespace
        : { ...namespace, path: this.#path('ns', id, kind) };
    });
    return {
      ...template,
      linux: { ...template.linux, namespaces, cgroupsPath: join(this.#options.cgroupParent, `floor-${id}`) },
    };
  }

  async #runtime(verb: string, id: string): Promise<void> {
    await this.#tool([this.#options.runtimePath, `--root=${this.#path('runc')}`, verb, id], {
      env: { PATH: TOOL_PATH },
    });
  }

  /** `runc exec` of one program, as a person would type it. */
  async exec(id: string, argv: readonly string[]): Promise<number> {
    const startedAt = performance.now();
    await this.#tool([this.#options.runtimePath, `--root=${this.#path('runc')}`, 'exec', id, ...argv], {
      env: { PATH: TOOL_PATH },
    });
    return performance.now() - startedAt;
  }

  async #tool(
    argv: readonly string[],
    more: { readonly env: Readonly<Record<string, string>>; readonly stdin?: Uint8Array },
  ): Promise<string> {
    const ended = await runTool({ argv, ...more, timeoutMs: TOOL_TIMEOUT_MS, clock: this.#clock });
    const stdout = Buffer.from(ended.stdout).toString();
    if (ended.exitCode !== 0)
      throw new Error(
        `floor: ${argv.join(' ')} ended with ${ended.exitCode}: ${stdout}${Buffer.from(ended.stderr).toString()}`,
      );
    return stdout;
  }

  #path(...names: readonly string[]): string {
    return join(this.#options.directory, ...names);
  }
}

/** Runs the work; its ms become a part. */
async function timed<T>(parts: Record<string, number>, name: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  parts[name] = performance.now() - startedAt;
  return result;
}

/** Sum of the parts. */
export const total = (parts: Parts): number => Object.values(parts).reduce((sum, part) => sum + part, 0);
