// The daemon as a process: its lock, its socket, its configuration, its signals, and a neighbour.
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, run } from '../../support/run.ts';
import { containerJson, Crictl, describePods } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';

const secondDaemon = injects('F83', 'a second daemon on the same root or state');
const takenSocket = injects('F82', 'a socket file that is stale, held by another, or no socket');

/** Addresses that a process listens on, as ss(8) shows them. */
async function listenersOf(pid: number): Promise<string[]> {
  const { stdout } = await run(['ss', '-Hltnp']);
  const lines = stdout.split('\n').filter((line) => line.includes(`pid=${pid},`));
  // State, Recv-Q, Send-Q, local address
  return lines.map((line) => line.split(/\s+/)[3] ?? '').toSorted();
}

/** A registry that wants a password. When it receives one, it reads the command lines of the whole machine. */
async function watchfulRegistry(): Promise<{
  readonly address: string;
  readonly seen: { authorization: string; commandLines: string }[];
  readonly close: () => void;
}> {
  const seen: { authorization: string; commandLines: string }[] = [];
  const server = createHttpServer((request, response) => {
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
      seen.push({ authorization, commandLines: pids.map(commandLineOf).join('\n') });
    }
    response
      .writeHead(authorization === undefined ? 401 : 404, { 'www-authenticate': 'Basic realm="test"' })
      .end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () => void server.close(),
  };
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Status of the network condition. */
interface Info {
  readonly status: {
    readonly conditions: readonly {
      readonly type: string;
      readonly status: boolean;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

describePods('the daemon', () => {
  let world: World;
  let crictl: Crictl;
  let watchful: Awaited<ReturnType<typeof watchfulRegistry>>;
  beforeAll(async () => {
    watchful = await watchfulRegistry();
    world = await makeWorld({
      name: 'one',
      shortNames: () => `[[registry]]\nlocation = "${watchful.address}"\ninsecure = true\n`,
    });
    crictl = new Crictl(world);
    await world.pull();
  });
  afterAll(async () => {
    watchful.close();
    await world.close();
  });

  /** A start that must fail: with another configuration, state or socket than the running one's. */
  const startBeside = async (...args: readonly string[]): Promise<Ended> =>
    await run([...world.instance.argv, ...args], { timeoutMs: EVENT_MS });
  const networkReady = async () =>
    (await crictl.json<Info>('info')).status.conditions.find(({ type }) => type === 'NetworkReady');

  test('S69: only root can use the daemon’s socket', () => {
    expect(statSync(world.instance.socket).mode & 0o7777).toBe(0o600);
  });

  test.each([
    ['root', 'state'],
    ['state', 'root'],
  ] as const)(
    'F83: a second daemon on the same %s ends, names the pid of the first and touches nothing',
    async (shared, other) => {
      const first = world.instance.pid();
      const directory = { root: world.instance.root, state: world.instance.state }[shared];
      // the first one makes files of its own at any time
      process.kill(first, 'SIGSTOP');
      try {
        const files = entriesOf(directory);
        const ended = await startBeside(
          `--${other}`,
          join(world.instance.directory, `${other}2`),
          '--socket',
          join(world.instance.directory, 'cri2.sock'),
        );
        expect(ended.code, ended.stderr).toBe(1);
        expect(ended.stderr).toContain(`lock ${directory}: held by process ${first}`);
        secondDaemon.happened();
        expect(entriesOf(directory)).toEqual(files);
      } finally {
        process.kill(first, 'SIGCONT');
      }
      expect(await crictl.ok('version')).toContain('troupe');
    },
  );

  test('F82: a second daemon on the same socket ends and leaves it to the first', async () => {
    const ended = await startBeside(
      '--root',
      join(world.instance.directory, 'root2'),
      '--state',
      join(world.instance.directory, 'state2'),
    );
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`listen on ${world.instance.socket}`);
    takenSocket.happened();
    expect(await crictl.ok('version')).toContain('troupe');
  });

  test('F82: a stale socket is replaced at the start; a file that is not a socket is kept', async () => {
    await world.instance.kill();
    expect(statSync(world.instance.socket).isSocket()).toBe(true);
    takenSocket.happened();
    await world.instance.start();
    await world.instance.terminate();
    await writeFile(world.instance.socket, 'a file of somebody');
    const ended = await startBeside();
    expect(ended.code).not.toBe(0);
    expect(await readFile(world.instance.socket, 'utf8')).toBe('a file of somebody');
    await rm(world.instance.socket);
    await world.instance.start();
  });

  test('S83: SIGUSR1 opens no inspector and ends nothing; every listening address is loopback', async () => {
    const pid = world.instance.pid();
    const own = await listenersOf(pid);
    expect(own.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
    process.kill(pid, 'SIGUSR1');
    expect(await crictl.ok('version')).toContain('troupe');
    expect(await listenersOf(pid)).toEqual(own);
    // The check itself works: it finds this process when it listens once more.
    const before = await listenersOf(process.pid);
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    expect(await listenersOf(process.pid)).toHaveLength(before.length + 1);
    server.close();
  });

  test.each(['environ', 'maps', 'mem', 'auxv', 'fd/0', 'cwd/', 'root/'])(
    'S84: other users cannot read /proc/PID/%s of the daemon',
    async (file) => {
      const path = `/proc/${world.instance.pid()}/${file}`;
      const nobody = await run([
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        'dd',
        `if=${path}`,
        'of=/dev/null',
        'bs=1',
        'count=1',
      ]);
      expect([nobody.code, nobody.stderr]).toEqual([
        1,
        expect.stringContaining('Permission denied') as string,
      ]);
    },
  );

  test('S84: a registry password appears in no command line of the machine', async () => {
    const [username, password] = ['somebody', 'canary-of-the-command-lines'];
    const pulled = world.client.image.pullImage({
      image: { image: `${watchful.address}/private/app:1` },
      auth: { username, password },
    });
    await expect(pulled).rejects.toThrow(/private\/app/);
    const secret = Buffer.from(`${username}:${password}`).toString('base64');
    expect(watchful.seen.map(({ authorization }) => authorization)).toContain(`Basic ${secret}`);
    const lines = watchful.seen.map(({ commandLines }) => commandLines).join('\n');
    expect(lines).toContain(world.instance.root);
    expect([lines.includes(password), lines.includes(secret)]).toEqual([false, false]);
  });

  const wrongConfigs: readonly (readonly [string, string, RegExp])[] = [
    [
      'an unknown key',
      '[log]\nlevel = "info"\n\n[runtime]\nspeed = 3\n',
      /line 5: runtime\.speed: no such key/,
    ],
    ['an unknown table', '[turbo]\nmode = "on"\n', /line 1: turbo: no such key/],
    ['a wrong value', '[log]\nlevel = "loud"\n', /line 2: log\.level: must be one of/],
    ['what is no TOML', '[log\n', /line 1/],
  ];
  test.each(wrongConfigs)(
    'a configuration with %s is refused with its line, before anything is touched',
    async (_name, text, expected) => {
      const file = join(world.instance.directory, 'wrong.toml');
      await writeFile(file, text);
      const ended = await startBeside('--config', file);
      expect(ended).toMatchObject({ code: 78, stderr: expect.stringMatching(expected) as string });
      expect(ended.stderr).toContain(file);
    },
  );

  test('a broken CNI directory makes NetworkReady false with the reason; pods on the host network go on; a fixed directory makes it true', async () => {
    const conflist = join(world.instance.directory, 'cni/10-test.conflist');
    const good = await readFile(conflist, 'utf8');
    const replace = async (text: string): Promise<void> => {
      await writeFile(`${conflist}.new`, text);
      await rename(`${conflist}.new`, conflist);
    };
    await replace('{ "cniVersion": "1.0.0", "name": "broken", "plugins": [');
    const condition = await until(async () => {
      const seen = await networkReady();
      return seen?.status === false ? seen : undefined;
    });
    expect(condition.reason).not.toBe('');
    expect(condition.message).toContain('10-test.conflist');
    const refused = await crictl.runPod('offline').catch((error: unknown) => String(error));
    expect(refused).toMatch(/Unavailable.*10-test\.conflist/s);
    const host = await crictl.runPod('onhost', {
      hostname: '',
      linux: { security_context: { namespace_options: { network: 2, pid: 1, ipc: 0 } } },
    });
    await crictl.ok('rmp', '--force', host.id);
    await replace(good.replace('"bridge"', '"no-such-plugin"'));
    await until(async () => (await networkReady())?.message.includes('no-such-plugin'));
    await replace(good);
    await until(async () => (await networkReady())?.status);
    await crictl.ok('rmp', '--force', (await crictl.runPod('online')).id);
  });

  test('two instances with the same names side by side neither see nor end each other’s pods', async () => {
    const other = await makeWorld({ name: 'two' });
    try {
      const beside = new Crictl(other);
      await other.pull();
      const mine = await crictl.runPod('same');
      const theirs = await beside.runPod('same');
      expect(theirs.id).not.toBe(mine.id);
      const a = await crictl.runContainer(mine, containerJson('c', world.imageName, untilTermed(0)));
      const b = await beside.runContainer(theirs, containerJson('c', other.imageName, untilTermed(0)));
      expect(await crictl.ok('ps', '-q', '--no-trunc')).toBe(a);
      expect(await beside.ok('ps', '-q', '--no-trunc')).toBe(b);
      // A start scans the whole machine: what belongs to the neighbour stays.
      await world.instance.kill();
      await world.instance.start();
      expect(await beside.ok('exec', '--sync', b, 'echo', 'here')).toBe('here');
      await crictl.ok('rmp', '--force', mine.id);
      expect(await beside.ok('exec', '--sync', b, 'echo', 'here')).toBe('here');
      await beside.ok('rmp', '--force', theirs.id);
      expect(await other.leftovers()).toEqual([]);
    } finally {
      await other.close();
    }
  });

  test('nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});

const entriesOf = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted();
