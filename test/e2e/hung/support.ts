// What hangs: a runtime and a CNI plugin by script, and a client that insists as a kubelet does.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as codes } from '@grpc/grpc-js';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import type { Instance } from '../../support/instance.ts';

/** The pod that the plugin hangs for. */
export const PLUGIN_HANGS_FOR = 'on-plugin';

/** Seconds that a hanging script sleeps: a number of this process's own, to be found in lists of processes. */
const SLEEP = String(10_000_000 + process.pid);

/** runc that hangs in a verb while the test asks for it. */
export class HangingRuntime {
  readonly directory = mkdtempSync(join(tmpdir(), 'troupe-hang-'));
  readonly path = join(this.directory, 'runc');

  constructor() {
    const script = `for word in "$@"; do [ -e ${this.directory}/hang-"$word" ] && exec sleep ${SLEEP}; done; exec /usr/sbin/runc "$@"`;
    writeProgram(this.path, script);
  }

  hangIn(verb: string): void {
    writeFileSync(join(this.directory, `hang-${verb}`), '');
  }

  /** The next call goes through; one that hangs goes on hanging. */
  fix(verb: string): void {
    rmSync(join(this.directory, `hang-${verb}`), { force: true });
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true });
  }
}

/**
 * Puts a plugin before the real bridge, which hangs for one pod's ADD. Takes effect with the next start of the daemon.
 */
export function hangPlugin(instance: Instance): void {
  const real = defaultConfig.network.plugin_dirs
    .map((directory) => join(directory, 'bridge'))
    .find((path) => existsSync(path));
  if (real === undefined) throw new Error('no CNI plugin bridge on this machine');
  const plugins = join(instance.directory, 'plugins');
  mkdirSync(plugins);
  writeProgram(
    join(plugins, 'bridge'),
    `case "$CNI_COMMAND $CNI_ARGS" in ADD*K8S_POD_NAME=${PLUGIN_HANGS_FOR}*) exec sleep ${SLEEP};; esac; exec ${real} "$@"`,
  );
  const directories = [plugins, ...defaultConfig.network.plugin_dirs]
    .map((directory) => JSON.stringify(directory))
    .join(', ');
  mkdirSync(join(instance.directory, 'troupe.toml.d'));
  writeFileSync(
    join(instance.directory, 'troupe.toml.d/10-plugins.toml'),
    `[network]\nplugin_dirs = [${directories}]\n`,
  );
}

function writeProgram(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

/** Processes that hang: the scripts', and those that ask file systems of this test. */
export function helpers(): { readonly pid: number; readonly words: readonly string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .flatMap((pid) => {
      const words = commandLine(pid);
      const asks = words[0] === '/usr/bin/stat' && /troupe-dead-|trhung/u.test(words.at(-1) ?? '');
      return (words[0] === 'sleep' && words[1] === SLEEP) || asks ? [{ pid: Number(pid), words }] : [];
    });
}

/** Pids of the processes with this word in their command line. */
export function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/u.test(name) && commandLine(name).includes(word));
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .filter((word) => word !== '');
  } catch {
    return [];
  }
}

/** ms that each try gives the daemon. A kubelet gives it minutes; the tries are what counts here. */
const TRY_MS = 1000;

interface Failure {
  readonly code: number;
  readonly details: string;
}

/** One call that is made again and again, as a kubelet does with a pod that does not come up. */
export class Insistent {
  readonly failures: Failure[] = [];
  /** How often it succeeded. */
  successes = 0;
  #stopped = false;
  readonly #ended: Promise<void>;

  constructor(call: (options: { readonly deadlineMs: number }) => Promise<unknown>) {
    this.#ended = this.#go(call);
  }

  async #go(call: (options: { readonly deadlineMs: number }) => Promise<unknown>): Promise<void> {
    while (!this.#stopped) {
      try {
        await call({ deadlineMs: TRY_MS });
        this.successes += 1;
        return;
      } catch (thrown) {
        this.failures.push(thrown as Failure);
      }
    }
  }

  get timeouts(): number {
    return this.failures.filter(({ code }) => code === codes.DEADLINE_EXCEEDED).length;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }
}
