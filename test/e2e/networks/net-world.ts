// A daemon of its own on a machine of its own, with the plugins and the configuration of one network.
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { PodSandboxConfigSchema, PortMappingSchema, Protocol } from '../../../src/gen/runtime/v1/api_pb.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { runOrThrow } from '../../support/run.ts';
import { untilFound } from '../support/parts.ts';
import { sandboxConfig } from '../support/pods.ts';
import { type Machine, makeMachine } from './machine.ts';

export interface PodOptions {
  readonly hostPort?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Pod {
  readonly id: string;
  /** In the order of PodSandboxStatus. */
  readonly ips: readonly string[];
  /** Path of its network namespace. */
  readonly netns: string;
}

export interface NetWorld {
  readonly machine: Machine;
  readonly instance: Instance;
  /** The instance's directory. */
  readonly directory: string;
  readonly client: CriClient;
  /** Starts a pod; the same name again is the same pod. */
  readonly start: (name: string, options?: PodOptions) => Promise<Pod>;
  /** A pod that runs, as PodSandboxStatus describes it. */
  readonly describe: (id: string) => Promise<Pod>;
  /** Stops and removes it. */
  readonly remove: (id: string) => Promise<void>;
  /** Writes the configuration of a network; none leaves the directory empty. */
  readonly configure: (conflist: object | undefined) => Promise<void>;
  /** Waits until the daemon reports that its network is ready. */
  readonly untilReady: () => Promise<void>;
  /** What is left of pods in the daemon's directories and in those of the network's reservations. */
  readonly files: () => Promise<string[]>;
  readonly gates: Gates;
  readonly close: () => Promise<void>;
}

/** Places in a chain where a plugin waits, so that the daemon can be killed exactly there. */
export interface Gates {
  /** The plugin of this type waits behind its own work of the next such commands. */
  readonly shut: (command: 'ADD' | 'DEL', type: string) => Promise<void>;
  readonly untilReached: (command: 'ADD' | 'DEL', type: string) => Promise<void>;
  /** Takes the gate away. What waits at it must have been killed. */
  readonly open: (command: 'ADD' | 'DEL', type: string) => Promise<void>;
}

export interface NetWorldOptions {
  /** Directories of the plugins, in the order in which they are searched. */
  readonly pluginDirs: readonly string[];
  /** Types of plugins that have gates. */
  readonly gated: readonly string[];
  /** Further lines of the table `network`. */
  readonly settings?: readonly string[];
  /** Directories, below the instance's, whose files are reservations of the network's plugins. */
  readonly reservations?: readonly string[];
}

/** Worlds of this process, of which some are there at once: each instance has a name of its own. */
let made = 0;

const LETTERS = 26;
const FIRST_LETTER = 97;

/** `naa`, `nab`, … */
const nameOf = (at: number): string =>
  `n${String.fromCharCode(FIRST_LETTER + (Math.floor(at / LETTERS) % LETTERS), FIRST_LETTER + (at % LETTERS))}`;

/** Those that are not closed yet, for a run that is interrupted. */
const open = new Set<NetWorld>();

/** Closes all worlds that are still there. */
export async function closeAll(): Promise<void> {
  for (const world of open) await world.close();
}

/** Prepares the machine and the daemon, which is not started. */
export async function makeNetWorld(options: NetWorldOptions): Promise<NetWorld> {
  // taken before the first wait: worlds that are made at once would have one name, and each would sweep the others
  made += 1;
  const name = nameOf(made);
  const machine = await makeMachine();
  const instance = await makeInstance({
    name,
    network: 'host-only',
    before: () => machine.prefix,
    networkSettings: (directory) => [
      `plugin_dirs = ${JSON.stringify([join(directory, 'plugins'), ...options.pluginDirs])}`,
      ...(options.settings ?? []),
    ],
  });
  const { directory } = instance;
  const client = criClient(instance.socket);
  const gates = await makeGates(directory, options);
  const describe = async (id: string): Promise<Pod> => {
    const { status } = await client.runtime.podSandboxStatus({ podSandboxId: id });
    const further = (status?.network?.additionalIps ?? []).map(({ ip }) => ip);
    return {
      id,
      ips: [status?.network?.ip ?? '', ...further],
      netns: join(instance.state, 'ns', id, 'net'),
    };
  };
  const world: NetWorld = {
    machine,
    instance,
    directory,
    client,
    gates,
    describe,
    start: async (name, pod = {}) => {
      const config = configOf(directory, name, pod);
      const { podSandboxId } = await client.runtime.runPodSandbox({ config }, { deadlineMs: START_MS });
      return await describe(podSandboxId);
    },
    remove: async (podSandboxId) => {
      await client.runtime.stopPodSandbox({ podSandboxId });
      await client.runtime.removePodSandbox({ podSandboxId });
    },
    configure: async (conflist) => {
      const file = join(directory, 'cni/10-net.conflist');
      if (conflist === undefined) await rm(file, { force: true });
      else await writeFile(file, JSON.stringify(conflist));
    },
    untilReady: async () => await untilReady(client),
    files: async () => await filesOf(instance, options.reservations ?? ['leases']),
    close: async () => {
      if (!open.delete(world)) return;
      client.close();
      await instance.remove();
      await machine.close();
    },
  };
  open.add(world);
  return world;
}

async function untilReady(client: CriClient): Promise<void> {
  await untilFound({ what: 'NetworkReady', withinMs: EVENT_MS }, async () => {
    const { status } = await client.runtime.status({});
    const ready = status?.conditions.find(({ type }) => type === 'NetworkReady');
    if (ready?.status !== true) throw new Error(ready?.message);
    return true;
  });
}

function configOf(directory: string, name: string, { hostPort, annotations }: PodOptions) {
  const config = create(
    PodSandboxConfigSchema,
    sandboxConfig({
      name,
      logDirectory: join(directory, 'logs', name),
      ...(annotations === undefined ? {} : { annotations }),
    }),
  );
  if (hostPort !== undefined) {
    config.portMappings = [
      create(PortMappingSchema, { hostPort, containerPort: SERVED_PORT, protocol: Protocol.TCP }),
    ];
  }
  return config;
}

/** Longer than the slowest network takes, and than one try and the next. */
const START_MS = 400_000;

/** The port of the server that `serveIn` starts in a pod. */
export const SERVED_PORT = 8080;

/**
 * Each gated plugin is a script in a directory of its own, which runs the real one and then waits at a FIFO of this
 * command where there is one.
 */
async function makeGates(directory: string, { pluginDirs, gated }: NetWorldOptions): Promise<Gates> {
  const own = join(directory, 'plugins');
  const places = join(directory, 'gates');
  for (const path of [own, places]) await mkdir(path);
  for (const type of new Set(gated)) {
    const real = pluginDirs.map((dir) => join(dir, type)).find((path) => existsSync(path));
    if (real === undefined) throw new Error(`no plugin ${type} in ${pluginDirs.join(', ')}`);
    const script = [
      '#!/bin/sh',
      `'${real}'; code=$?`,
      `gate='${places}'/"$CNI_COMMAND-${type}"`,
      'if [ -p "$gate" ]; then : > "$gate.reached"; read -r _ < "$gate"; fi',
      'exit $code',
    ].join('\n');
    await writeFile(join(own, type), `${script}\n`);
    await chmod(join(own, type), 0o755);
  }
  const gateOf = (command: string, type: string): string => join(places, `${command}-${type}`);
  return {
    shut: async (command, type) => {
      await runOrThrow(['mkfifo', gateOf(command, type)]);
    },
    untilReached: async (command, type) => {
      await untilFound(
        { what: `${command} of ${type} at its gate`, withinMs: EVENT_MS },
        async () => await Promise.resolve(existsSync(`${gateOf(command, type)}.reached`)),
      );
    },
    open: async (command, type) => {
      for (const suffix of ['', '.reached']) await rm(`${gateOf(command, type)}${suffix}`, { force: true });
    },
  };
}

async function filesOf(instance: Instance, reservations: readonly string[]): Promise<string[]> {
  const places = [
    join(instance.state, 'sandboxes'),
    join(instance.state, 'ns'),
    join(instance.root, 'cni/cache'),
    instance.netnsDir,
  ];
  const found: string[] = [];
  for (const place of places)
    for (const name of await readdir(place).catch(() => [])) found.push(`file: ${join(place, name)}`);
  const kept = [
    ...reservations.map((name) => join(instance.directory, name)),
    join(instance.root, 'cni/leases'),
  ];
  for (const place of kept) {
    const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => []);
    // host-local keeps a lock and the last address that it gave, whatever is leased
    for (const entry of entries)
      if (entry.isFile() && !/^(?:lock|last_reserved_ip\.\d+)$/u.test(entry.name))
        found.push(`reservation: ${join(entry.parentPath, entry.name)}`);
  }
  return found;
}
