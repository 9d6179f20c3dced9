// crictl against a world: its configuration files, its answers, and why a suite can't run here.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import type { World } from './world.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const missing =
  process.getuid?.() === 0
    ? ['/usr/bin/conmon', '/usr/sbin/runc', '/usr/sbin/iptables'].filter((path) => !existsSync(path))
    : ['root'];
if (missing.length > 0) console.warn(`skipped: needs ${missing.join(', ')}`);

/** A suite that runs pods. */
export const describePods = unless(describe, missing.length > 0 ? `needs ${missing.join(', ')}` : '');

/** What crictl reads from a file: the CRI's own messages in JSON. */
export type Json = { readonly [key: string]: unknown };

export const podJson = (name: string, more: Json = {}): Json => ({
  metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
  hostname: name,
  linux: { security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 } } },
  ...more,
});

export const containerJson = (
  name: string,
  image: string,
  command: readonly string[],
  more: Json = {},
): Json => ({
  metadata: { name, attempt: 0 },
  image: { image },
  command,
  log_path: `${name}.log`,
  linux: { security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 } } },
  ...more,
});

/** crictl with files of one world. */
export class Crictl {
  readonly #world: World;
  #files = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** stdout of a call that must succeed. */
  async ok(...args: readonly string[]): Promise<string> {
    const ended = await this.#world.instance.crictl(args);
    if (ended.code !== 0)
      throw new Error(`crictl ${args.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
    return ended.stdout.trim();
  }

  /** What a call says that must fail. */
  async fails(...args: readonly string[]): Promise<string> {
    const ended = await this.#world.instance.crictl(args);
    if (ended.code === 0) throw new Error(`crictl ${args.join(' ')} succeeded: ${ended.stdout}`);
    return ended.stderr;
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.ok(...args)) as T;
  }

  /** A file with this content; its path. */
  async file(content: Json): Promise<string> {
    this.#files += 1;
    const path = join(this.#world.instance.directory, `crictl-${this.#files}.json`);
    await writeFile(path, JSON.stringify(content));
    return path;
  }

  /** Runs a pod whose logs are in `<logs>/<name>`; its id and its file, which `crictl create` wants again. */
  async runPod(
    name: string,
    more: Json = {},
  ): Promise<{ readonly id: string; readonly file: string; readonly logs: string }> {
    const logs = join(this.#world.logs, name);
    await mkdir(logs, { recursive: true });
    const file = await this.file(podJson(name, { log_directory: logs, ...more }));
    return { id: await this.ok('runp', file), file, logs };
  }

  /** Creates and starts; the id. */
  async runContainer(pod: { readonly id: string; readonly file: string }, config: Json): Promise<string> {
    const id = await this.ok('create', pod.id, await this.file(config), pod.file);
    await this.ok('start', id);
    return id;
  }

  /** `crictl inspect`. */
  async container(id: string): Promise<Inspected> {
    return await this.json<Inspected>('inspect', id);
  }
}

export interface Inspected {
  readonly status: {
    readonly state: string;
    readonly exitCode: number;
    readonly reason: string;
    readonly startedAt: string;
    readonly finishedAt: string;
    readonly logPath: string;
    readonly message: string;
  };
  readonly info: { readonly pid?: number } & Readonly<Record<string, unknown>>;
}

/** Waits until the file holds the text. */
export const untilHolds = async (path: string, text: string): Promise<string> =>
  await until(async () => {
    const content = await readFile(path, 'utf8').catch(() => '');
    return content.includes(text) ? content : undefined;
  });
