// A clean Debian as a machine of its own: a root in memory, with processes, mounts, network and IPC of its own, in
// which packages are installed and daemons run. Its end takes all of it away but cgroups, which it shares with this
// machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.ts';
import { type Ended, run } from '../../support/run.ts';
import { sweepMachine } from '../../support/sweep.ts';
import { cached, cacheDirectory } from '../../support/tools/cache.ts';
import { debianTree } from '../../vm/trees.ts';
import { bothOutputs } from './runtime.ts';

/** Counted up when the list of packages changes; a package's new version is not worth another root. */
const RECIPE = 2;
const RELEASE = 'bookworm';
/**
 * What troupe depends on and recommends, the runtime that it stands beside, and the other manager of packages. No
 * systemd: a fake records calls.
 */
const PACKAGES = [
  'runc',
  'conmon',
  'containernetworking-plugins',
  'iptables',
  'iproute2',
  'containerd',
  'mount',
  'rpm',
];
/** Of the fake systemctl, for which every service is enabled and inactive. */
const CALLS = '/var/log/systemctl';
const SYSTEMCTL = `#!/bin/sh
echo "$*" >>${CALLS}
case "$*" in
  *is-enabled*) echo enabled ;;
  *is-active*) exit 3 ;;
esac
`;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Makes the root, and stays as its first process, which reaps those that lose their parents. */
const INIT = `set -e
read -r pid rest </proc/self/stat
mount --make-rprivate /
mount -t tmpfs -o mode=755 system "$2"
cp -a "$1/." "$2"
mount -t proc proc "$2/proc"
mount --rbind /sys "$2/sys"
mount --rbind /dev "$2/dev"
mount -t tmpfs -o mode=755 run "$2/run"
mkdir -p "$2/packages" "$2/run/systemd/system"
mount --bind "$3" "$2/packages"
ip link set lo up
cd "$2"
mkdir .before
pivot_root . .before
umount -l /.before
rmdir /.before
echo "$pid"
while :; do sleep 1000; done
`;

/** Why there can be no such system here. */
export const hindrance = (): string =>
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(cacheDirectory, 'debian/mmdebstrap'))
      ? ''
      : 'needs mmdebstrap: node scripts/setup.js test';

const root = async (): Promise<string> =>
  await cached(
    `packages/root-${RELEASE}-${RECIPE}`,
    async (work) => await debianTree(work, RELEASE, 'minbase', PACKAGES),
  );

export class CleanSystem {
  readonly #init: ChildProcess;
  readonly #directory: string;
  /** Of its first process, as this machine counts. */
  readonly pid: number;
  readonly #servers = new Map<string, ChildProcess>();
  /** What only the cgroups of this system have in their names. */
  readonly tag: string;
  static #made = 0;

  private constructor(init: ChildProcess, directory: string, pid: number) {
    this.#init = init;
    this.#directory = directory;
    this.pid = pid;
    CleanSystem.#made += 1;
    this.tag = `trpkg${process.pid}n${CleanSystem.#made}n`;
  }

  /** @param packages a directory, which is /packages there */
  static async make(packages: string): Promise<CleanSystem> {
    const lower = await root();
    const directory = await mkdtemp(join(tmpdir(), 'troupe-clean-'));
    const spaces = ['--mount', '--pid', '--net', '--uts', '--ipc', '--fork', '--kill-child'];
    const argv = [...spaces, '/bin/sh', '-c', INIT, 'sh', lower, directory, packages];
    const init = spawn('unshare', argv, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH } });
    let said = '';
    let complaint = '';
    init.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    init.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    const pid = await eventually('the clean system', () => {
      if (init.exitCode !== null)
        throw new Error(`the clean system ended with ${init.exitCode}: ${complaint}`);
      return /^(\d+)\n/u.exec(said)?.[1];
    });
    const system = new CleanSystem(init, directory, Number(pid));
    await system.write('/usr/bin/systemctl', SYSTEMCTL, '755');
    return system;
  }

  #enter(argv: readonly string[]): readonly string[] {
    const spaces = ['--mount', '--pid', '--net', '--uts', '--ipc', '--root', '--wd'];
    const clean = ['env', '--ignore-environment', `PATH=${PATH}`, 'HOME=/root', 'LC_ALL=C'];
    return ['nsenter', '--target', String(this.pid), ...spaces, ...clean, ...argv];
  }

  async run(...argv: readonly string[]): Promise<Ended> {
    return await run(this.#enter(argv));
  }

  /** Both outputs of a program that must succeed. */
  async ok(...argv: readonly string[]): Promise<string> {
    return bothOutputs(argv, await this.run(...argv));
  }

  /** Pid of the daemon that serves, as the system counts. */
  async daemon(): Promise<number> {
    return (JSON.parse(await this.ok('troupe', 'status', '--json')) as { pid: number }).pid;
  }

  /** Whether a process of the system runs. */
  async isAlive(pid: number): Promise<boolean> {
    return (await this.run('test', '-e', `/proc/${pid}`)).code === 0;
  }

  /** The lines of a shell's command, whose words are all given here. */
  async lines(script: string): Promise<readonly string[]> {
    return (await this.ok('sh', '-c', script)).split('\n').filter((line) => line !== '');
  }

  async write(path: string, text: string, mode = '644'): Promise<void> {
    const ended = await run(this.#enter(['sh', '-c', 'cat >"$1" && chmod "$2" "$1"', 'sh', path, mode]), {
      stdin: text,
    });
    if (ended.code !== 0) throw new Error(`${path}: ${ended.stderr}`);
  }

  /** What was asked of systemd since the last question. */
  async systemctlCalls(): Promise<readonly string[]> {
    return await this.lines(`cat ${CALLS} 2>/dev/null; rm -f ${CALLS}`);
  }

  /** Starts a server and waits until `isUp` succeeds; its output and its pid go below /var/log. */
  async serve(name: string, argv: readonly string[], isUp: readonly string[]): Promise<void> {
    const script = `echo "$$" >/var/log/${name}.pid; exec >>/var/log/${name} 2>&1; exec "$@"`;
    const [program = '', ...args] = this.#enter(['sh', '-c', script, 'sh', ...argv]);
    const child = spawn(program, args, { stdio: 'ignore' });
    this.#servers.set(name, child);
    await eventually(`${name} in the clean system`, async () => {
      if (child.exitCode !== null)
        throw new Error(
          `${name} ended with ${child.exitCode}: ${await this.ok('tail', '-n', '20', `/var/log/${name}`)}`,
        );
      return (await this.run(...isUp)).code === 0;
    });
  }

  /** Ends a process that this has not started by SIGTERM, and waits for its end. */
  async end(pid: number): Promise<void> {
    await this.ok('sh', '-c', 'kill "$1"', 'sh', String(pid));
    // a zombie has ended
    const isGone = `! grep -q '^State:.[^Z]' /proc/${pid}/status 2>/dev/null`;
    await eventually(`the end of process ${pid}`, async () =>
      (await this.run('sh', '-c', isGone)).code === 0 ? true : undefined,
    );
  }

  /** Ends a server by SIGTERM. */
  async stop(name: string): Promise<void> {
    const child = this.#servers.get(name);
    await this.ok('sh', '-c', `kill "$(cat /var/log/${name}.pid)"`);
    await eventually(`the end of ${name}`, () => child?.exitCode !== null);
  }

  /** Ends the system with all of its processes, and removes its cgroups. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#init.once('close', resolve));
    this.#init.kill('SIGKILL');
    await ended;
    for (const child of this.#servers.values()) child.kill('SIGKILL');
    await eventually('the end of the clean system', async () =>
      (await readFile(`/proc/${this.pid}/stat`, 'utf8').catch(() => '')) === '' ? true : undefined,
    );
    await sweepMachine([this.tag]);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
