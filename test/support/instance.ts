// An instance of troupe of a test's own: own root, state, socket, network and cgroup parent, beside any other one.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { criClient } from '../../scripts/support/cri-client.ts';
import { EVENT_MS, PROGRAM_MS } from './patience.ts';
import { run, runOrThrow } from './run.ts';
import { sweepMachine } from './sweep.ts';
import { checkout } from './tools/cache.ts';
import { crictl } from './tools/go-tools.ts';

/**
 * Whether a line of the differences (baseline.ts) is what each instance leaves: its bridge, which no CNI plugin takes
 * away, and under systemd's driver its empty slice, which stays until it is stopped.
 */
export const isLeftByDesign = (line: string): boolean =>
  /^\+ links: tr\w+$/.test(line) || /^\+ cgroups: \/tr\w+\.slice$/.test(line);

export interface InstanceOptions {
  /** What it is for: up to five small letters, which go into the names of directory, bridge and cgroup. */
  readonly name: string;
  /** Text of its registries.conf. */
  readonly registriesConf?: string;
  /** Images that are pinned. */
  readonly pinned?: readonly string[];
  /** Further lines of the table `images`, which may name its directory. */
  readonly imageSettings?: (directory: string) => readonly string[];
  /** Further lines of the table `network`, which may name its directory. */
  readonly networkSettings?: (directory: string) => readonly string[];
  /** Path of an OCI runtime other than Debian's runc. */
  readonly runtimePath?: string;
  /** Handlers beside the default one: name and path of the runtime. */
  readonly handlers?: Readonly<Record<string, string>>;
  /**
   * Without one, the instance's own bridge network is configured. `host-only` leaves the directory empty, and troupe's
   * own network is the fallback, as `none` does without a fallback.
   */
  readonly network?: 'bridge' | 'host-only' | 'none';
  /** Addresses for a thousand pods instead of 250. */
  readonly isWide?: boolean;
  /** Another instance, whose cgroup parent and network this one shares. */
  readonly beside?: Instance;
  /** Further tables of its configuration, which may name its directory. */
  readonly config?: string | ((directory: string) => string);
  /** The state directory in a tmpfs, as `/run` is on nodes. */
  readonly stateInMemory?: boolean;
  /** Base address of a collector of traces. */
  readonly tracing?: string;
  /** `debug` without one. */
  readonly logLevel?: string;
  /** A command before the daemon's own, which ends as it by exec. */
  readonly before?: (directory: string) => readonly [string, ...string[]];
  /** What starts it in systemd's place. */
  readonly systemd?: Supervisor;
}

/** What a service gets from systemd: descriptors from 3 on, and variables beside the process's own. */
export interface Supervisor {
  readonly descriptors: readonly number[];
  readonly environment: Readonly<Record<string, string>>;
}

export interface Instance {
  readonly directory: string;
  readonly socket: string;
  /** `unix://…` of the socket. */
  readonly endpoint: string;
  readonly root: string;
  readonly state: string;
  /** Where pods' network namespaces are mounted a second time. */
  readonly netnsDir: string;
  /** What only this instance's mounts, processes, cgroups, links and rules have in them: for `snapshotMachine`. */
  readonly words: readonly string[];
  /** The configured parent of its cgroups. */
  readonly cgroupParent: string;
  /** Starts the daemon and waits until it answers; throws with the end of its log when it doesn't. */
  readonly start: () => Promise<void>;
  /** The exit code of a daemon that ends by itself. */
  readonly ended: () => Promise<number>;
  /** SIGTERM, then its exit code. Containers stay. */
  readonly terminate: () => Promise<number>;
  /** The daemon's process; throws when it doesn't run. */
  readonly pid: () => number;
  /** The daemon's command line: a later option of the same name wins. */
  readonly argv: readonly [string, ...string[]];
  /** Those of the daemon, which other commands of bin/troupe take as well. */
  readonly options: readonly string[];
  /** SIGKILL. */
  readonly kill: () => Promise<void>;
  /** Everything the daemon has printed. */
  readonly log: () => Promise<string>;
  /** Runs crictl against it. */
  readonly crictl: (args: readonly string[], timeoutMs?: number) => ReturnType<typeof run>;
  /** Ends the daemon and takes away everything of the instance, also what should not be there. */
  readonly remove: () => Promise<void>;
}

/** One question of the start; the next one is asked when it is over. */
const LIST_MS = EVENT_MS / 12;
const LOOK_AGAIN_MS = 50;

/** Instances of this process, so that two of them have addresses of their own. */
let made = 0;

interface Paths {
  readonly index: number;
  readonly directory: string;
  readonly bridge: string;
  readonly cgroupParent: string;
  /** What is below /run on a node. */
  readonly run: string;
}

/** The driver of instances. In the guests of test/vm, which have systemd, whole suites run with its driver. */
export const CGROUP_DRIVER = process.env['TROUPE_TEST_CGROUP_DRIVER'] ?? 'cgroupfs';
/** systemd's driver takes slices only. */
const cgroupParentOf = (tag: string): string => (CGROUP_DRIVER === 'systemd' ? `${tag}.slice` : `/${tag}`);

const netnsIn = (run: string): string => join(run, 'netns');

/** The whole configuration of such an instance: the one place that knows the daemon's keys. */
function configText({ directory, cgroupParent, run }: Paths, options: InstanceOptions): string {
  const lines = [
    '[log]',
    `level = "${options.logLevel ?? 'debug'}"`,
    '[cgroup]',
    `driver = "${CGROUP_DRIVER}"`,
    `parent = "${cgroupParent}"`,
    '[images]',
    `registries_conf = "${join(directory, 'registries.conf')}"`,
    'registries_conf_dir = ""',
    `pinned = ${JSON.stringify(options.pinned ?? [])}`,
    // the machine's own policy is no matter of a test
    ...(options.imageSettings?.(directory) ?? ['signature_policy = ""']),
    '[network]',
    `config_dir = "${join(directory, 'cni')}"`,
    `netns_dir = "${netnsIn(run)}"`,
    ...(options.network === 'host-only' ? ['fallback = "bridge"'] : []),
    ...(options.networkSettings?.(directory) ?? []),
    '',
  ];
  if (options.tracing !== undefined) lines.push('[tracing]', `endpoint = "${options.tracing}"`, '');
  if (options.runtimePath !== undefined)
    lines.push('[runtime.handlers.runc]', `path = "${options.runtimePath}"`, '');
  for (const [name, path] of Object.entries(options.handlers ?? {}))
    lines.push(`[runtime.handlers.${name}]`, `path = "${path}"`, '');
  if (options.config !== undefined)
    lines.push(typeof options.config === 'string' ? options.config : options.config(directory), '');
  return lines.join('\n');
}

/** By process id and number, so that instances of parallel processes differ. */
function subnetOf({ index }: Paths, isWide = false): string {
  const third = (Math.floor(process.pid / 100) + 83 * index) % 250;
  return `10.${100 + (process.pid % 100)}.${isWide ? third - (third % 4) : third}.0/${isWide ? 22 : 24}`;
}

/** Bridge, addresses, whose leases lie in the directory, and host ports. */
export function conflistText(
  { directory, bridge }: Pick<Paths, 'directory' | 'bridge'>,
  subnet: string,
): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(directory, 'leases'),
          ranges: [[{ subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/** A tmpfs below the instance's directory; the sweep at its end unmounts it. */
export async function makeMemory(directory: string, tag: string): Promise<string> {
  const memory = join(directory, 'memory');
  await mkdir(memory, { mode: 0o711 });
  await runOrThrow(['mount', '-t', 'tmpfs', '-o', 'mode=711', tag, memory]);
  return memory;
}

/** The network of an instance: its own, that of the one that it stands beside, or none. */
async function writeNetwork(paths: Paths, { beside, network, isWide }: InstanceOptions): Promise<void> {
  const { directory } = paths;
  const conflist = 'cni/10-test.conflist';
  await mkdir(join(directory, 'cni'));
  if (beside !== undefined) await copyFile(join(beside.directory, conflist), join(directory, conflist));
  else if (network !== 'host-only' && network !== 'none')
    await writeFile(join(directory, conflist), conflistText(paths, subnetOf(paths, isWide)));
}

interface Made {
  /** What only this instance's mounts, processes, cgroups, links and rules have in them. */
  readonly tag: string;
  readonly directory: string;
  /** Values of the daemon's options. */
  readonly place: Readonly<Record<'config' | 'root' | 'state' | 'socket', string>>;
  readonly cgroupParent: string;
}

/** The directory of an instance with its configuration and network. */
async function makePlaces(options: InstanceOptions): Promise<Made> {
  const index = made;
  made += 1;
  // IFNAMSIZ leaves 15 characters; a process id has up to 7.
  const tag = `tr${options.name}${process.pid}`;
  const directory = await mkdtemp(join(tmpdir(), `${tag}-`));
  // Others may pass through: a container's root in a user namespace has to reach its root file system.
  await chmod(directory, 0o711);
  const paths: Paths = {
    index,
    directory,
    bridge: tag,
    cgroupParent: cgroupParentOf(options.beside?.words[0] ?? tag),
    run: options.stateInMemory === true ? await makeMemory(directory, tag) : directory,
  };
  const place = {
    config: join(directory, 'troupe.toml'),
    root: join(directory, 'root'),
    state: join(paths.run, 'state'),
    socket: join(directory, 'cri.sock'),
  };
  await writeFile(place.config, configText(paths, options));
  await writeFile(join(directory, 'registries.conf'), options.registriesConf ?? '');
  await writeNetwork(paths, options);
  return { tag, directory, place, cgroupParent: paths.cgroupParent };
}

/** Prepares an instance without starting it. Needs root. */
export async function makeInstance(options: InstanceOptions): Promise<Instance> {
  if (!/^[a-z]{1,5}$/.test(options.name))
    throw new Error(`instance name ${options.name}: up to five small letters are wanted`);
  const { tag, directory, place, cgroupParent } = await makePlaces(options);
  const endpoint = `unix://${place.socket}`;
  const logFile = join(directory, 'daemon.log');
  const log = async (): Promise<string> => await readFile(logFile, 'utf8').catch(() => '');
  const given = Object.entries(place).flatMap(([key, value]) => [`--${key}`, value]);
  const own: Instance['argv'] = [join(checkout, 'bin/troupe'), 'serve', ...given];
  const before = options.before?.(directory);
  const argv: Instance['argv'] = before === undefined ? own : [...before, ...own];
  const daemon = daemonOf(argv, logFile, options.systemd);

  const remove = async (): Promise<void> => {
    await daemon.end('SIGKILL');
    await sweepMachine([tag]);
    await rm(directory, { recursive: true, force: true });
  };
  return {
    directory,
    socket: place.socket,
    endpoint,
    root: place.root,
    state: place.state,
    netnsDir: netnsIn(dirname(place.state)),
    words: [tag],
    cgroupParent,
    start: () => startDaemon(daemon, place.socket, log),
    ended: daemon.ended,
    terminate: async () => await daemon.end('SIGTERM'),
    pid: daemon.pid,
    argv,
    options: given,
    kill: async () => {
      await daemon.end('SIGKILL');
    },
    log,
    crictl: async (args, timeoutMs = PROGRAM_MS) =>
      await run([...(await crictlWords(endpoint)), ...args], { timeoutMs }),
    remove,
  };
}

/** The beginning of crictl's command line. */
async function crictlWords(endpoint: string): Promise<readonly [string, ...string[]]> {
  // Built where it is asked for: the demo runs on machines without Go.
  const program = await crictl();
  // No configuration of the machine's own crictl may play a part.
  return [
    program,
    '--config',
    '/dev/null',
    '--runtime-endpoint',
    endpoint,
    '--image-endpoint',
    endpoint,
    '--timeout',
    '300s',
  ];
}

/** Starts it and waits until it lists pods. */
async function startDaemon(
  daemon: ReturnType<typeof daemonOf>,
  socket: string,
  log: () => Promise<string>,
): Promise<void> {
  daemon.spawn();
  const deadline = performance.now() + EVENT_MS;
  for (;;) {
    if (!daemon.isRunning()) throw new Error(`troupe ended while starting:\n${(await log()).slice(-4000)}`);
    const failure = await listFailure(socket);
    if (failure === undefined) return;
    if (performance.now() > deadline)
      throw new Error(
        `troupe did not answer within ${EVENT_MS} ms (${failure}):\n${(await log()).slice(-4000)}`,
      );
    await delay(LOOK_AGAIN_MS);
  }
}

/** Why the daemon does not serve yet; undefined when it does. */
async function listFailure(socket: string): Promise<string | undefined> {
  const client = criClient(socket);
  try {
    // a list: Version answers while the recovery is still at work
    await client.runtime.listPodSandbox({}, { deadlineMs: LIST_MS });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    client.close();
  }
}

/** Starts a program as systemd does: LISTEN_PID is the process's own pid, which exec keeps. */
export const withListenPid = (argv: Instance['argv']): Instance['argv'] => [
  'sh',
  '-c',
  'LISTEN_PID=$$ exec "$@"',
  'sh',
  ...argv,
];

/** The daemon's process, which can be started again after it ended. */
function daemonOf(argv: readonly [string, ...string[]], logFile: string, systemd?: Supervisor) {
  let child: ChildProcess | undefined;
  let ended: Promise<number> = Promise.resolve(0);
  const isRunning = (): boolean =>
    child !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    isRunning,
    spawn: (): void => {
      if (isRunning()) throw new Error(`${argv[0]} runs already`);
      const output = openSync(logFile, 'a');
      const [program, ...args] = systemd === undefined ? argv : withListenPid(argv);
      const started = spawn(program, args, {
        stdio: ['ignore', output, output, ...(systemd?.descriptors ?? [])],
        env: { ...process.env, ...systemd?.environment },
        cwd: '/',
      });
      closeSync(output);
      child = started;
      ended = new Promise<number>((resolve, reject) => {
        started.once('exit', (code) => resolve(code ?? -1));
        started.once('error', reject);
      });
    },
    pid: (): number => {
      if (!isRunning() || child?.pid === undefined) throw new Error(`${argv[0]} does not run`);
      return child.pid;
    },
    ended: async (): Promise<number> => await ended,
    /** Its exit code, -1 when a signal ended it. One that doesn't end on SIGTERM is killed, and that is an error. */
    end: async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number> => {
      if (!isRunning()) return await ended;
      child?.kill(signal);
      const timer = new AbortController();
      const first = await Promise.race([ended, delay(EVENT_MS, 'late' as const, { signal: timer.signal })]);
      timer.abort();
      if (first !== 'late') return first;
      child?.kill('SIGKILL');
      await ended;
      throw new Error(`${argv[0]} did not end within ${EVENT_MS} ms of ${signal}`);
    },
  };
}
