/**
 * `crictl exec` against a real container: both transports, terminals, half-close, exit codes, and nothing left (S22,
 * S34).
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectSpdy, openCommand } from '../../integration/streaming/clients.ts';
import { Crictl, containerJson, describePods } from '../support/crictl.ts';
import { openForOthers } from '../support/descriptors.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { crictlWith, inTerminal } from './support.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';

const killed = injects('F11', 'SIGKILL of the daemon while exec streams are open');

/** More than the 10 000 of the long form take: what leaks with each shows with these. */
const ROUNDS = 500;
const AT_ONCE = 10;

describePods('crictl exec', () => {
  let world: World;
  let crictl: Crictl;
  let id: string;

  beforeAll(async () => {
    world = await makeWorld({ name: 'strx' });
    crictl = new Crictl(world);
    const pod = await crictl.runPod('exec');
    id = await crictl.runContainer(
      pod,
      containerJson('main', await world.pull(), [
        'sh',
        '-c',
        'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done',
      ]),
    );
  });
  afterAll(async () => {
    await world.instance.crictl(['rmp', '-f', '-a']);
    const left = await world.leftovers();
    await world.close();
    expect(left).toEqual([]);
  });

  const run = (args: readonly string[], input?: Buffer) => crictlWith(world, args, input);

  it.each([['spdy'], ['websocket']])('%s: exec returns both outputs and the exit code', async (transport) => {
    const ended = await run([
      'exec',
      '--transport',
      transport,
      id,
      'sh',
      '-c',
      'echo out; echo err >&2; exit 42',
    ]);
    expect(ended.stdout.toString()).toBe('out\n');
    expect(ended.stderr).toContain('err\n');
    expect(ended.stderr).toContain('command terminated with exit code 42');
    expect(ended.code).toBe(1);
  });

  it.each([['spdy'], ['websocket']])(
    '%s: exec carries 10 MiB both ways, ended by a half-close',
    async (transport) => {
      const bytes = randomBytes(10 * 1024 * 1024);
      const ended = await run(
        ['exec', '-i', '--transport', transport, id, 'sh', '-c', 'cat; echo end >&2'],
        bytes,
      );
      expect(sha(ended.stdout)).toBe(sha(bytes));
      expect(ended.stderr).toContain('end\n');
      expect(ended.code).toBe(0);
    },
  );

  it.each([['spdy'], ['websocket']])('%s: exec carries a terminal, its size and input', async (transport) => {
    const said = await inTerminal(
      world,
      [
        'exec',
        '-it',
        '--transport',
        transport,
        id,
        'sh',
        '-c',
        // the size comes with a message of its own, after the start
        'tty; until stty size | grep -q 111; do sleep 0.05; done; stty size; echo "TERM is $TERM"; ' +
          'read line; echo "got <$line>"; exit 0',
      ],
      'typed\n',
    );
    expect(said).toContain('/dev/pts/0');
    expect(said).toContain('TERM is xterm');
    expect(said).toContain('33 111');
    expect(said).toContain('got <typed>');
  });

  it('many execs at once each get their own answer', async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_none, index) =>
        run(['exec', id, 'sh', '-c', `echo ${index}; exit ${index % 2}`]),
      ),
    );
    expect(all.map(({ stdout }) => stdout.toString())).toEqual(
      Array.from({ length: 20 }, (_none, index) => `${index}\n`),
    );
    expect(all.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, (_none, index) => index % 2));
  });

  it('a missing program is reported with the runtime’s reason', async () => {
    const ended = await run(['exec', id, '/no/such/program']);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('no such file or directory');
  });

  it('a background child that keeps the output open does not hold the exec', async () => {
    const ended = await run(['exec', id, 'sh', '-c', 'sleep 1000 & echo done']);
    expect(ended.stdout.toString()).toBe('done\n');
  });

  it('a client that disconnects ends its process', async () => {
    const url = (
      await world.client.runtime.exec({
        containerId: id,
        cmd: ['sh', '-c', 'echo up; sleep 98765'],
        stdout: true,
        stderr: true,
      })
    ).url;
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    const { stdout } = await openCommand(client, 'stdout', 'stderr');
    await until(() => Promise.resolve(stdout.size() > 0));
    client.socket.destroy();
    await until(async () => !(await run(['exec', id, 'ps'])).stdout.toString().includes('98765'));
  });

  it('a client that disconnects while its stdin waits for the process ends it, too (S27)', async () => {
    for (const tty of [false, true]) {
      const url = (
        await world.client.runtime.exec({
          containerId: id,
          cmd: ['sh', '-c', 'echo up; sleep 87654'],
          tty,
          stdin: true,
          stdout: true,
        })
      ).url;
      const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
      const { stdin, stdout } = await openCommand(
        client,
        'stdin',
        'stdout',
        ...(tty ? (['resize'] as const) : []),
      );
      await until(() => Promise.resolve(stdout.size() > 0));
      // more than the pipe and the server take: the rest waits in the kernel, and with it the news that the client has
      // gone
      for (let mib = 0; mib < 3; mib += 1) stdin.write(Buffer.alloc(1024 * 1024, 'x'));
      await until(() => Promise.resolve(client.socket.writableLength < 1024 * 1024));
      client.socket.destroy();
    }
    await until(async () => !(await run(['exec', id, 'ps'])).stdout.toString().includes('87654'));
  });

  it(`${ROUNDS} terminals for a missing program leave nothing (S22)`, async () => {
    const one = async (): Promise<string> => {
      const { url } = await world.client.runtime.exec({
        containerId: id,
        cmd: ['/no/such/program'],
        tty: true,
        stdin: true,
        stdout: true,
      });
      const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
      const { error, resize } = await openCommand(client, 'stdin', 'stdout', 'resize');
      resize.write('{"Width":80,"Height":24}');
      const status = (await error.all).toString();
      client.close();
      return status;
    };
    // the first ones warm what is kept for good: threads, caches
    for (let count = 0; count < AT_ONCE; count += 1) expect(await one()).toContain('no such file');
    const before = await openForOthers(world.instance);
    for (let round = 0; round < ROUNDS / AT_ONCE; round += 1) {
      const statuses = await Promise.all(Array.from({ length: AT_ONCE }, one));
      expect(statuses.filter((status) => !status.includes('no such file'))).toEqual([]);
    }
    await until(async () => (await openForOthers(world.instance)) <= before);
    expect(
      (await readdir(join(world.instance.state, 'containers', id))).filter((name) =>
        name.startsWith('exec-'),
      ),
    ).toEqual([]);
    expect(await readdir(join(world.instance.state, 'tty'))).toEqual([]);
  });

  it('clients that disconnect at any point leave no process, file or descriptor (S22, S27)', async () => {
    const points = 6;
    const one = async (point: number, tty: boolean): Promise<void> => {
      const { url } = await world.client.runtime.exec({
        containerId: id,
        cmd: ['sh', '-c', 'echo up; sleep 54321'],
        tty,
        stdin: true,
        stdout: true,
      });
      if (point === 0) return;
      const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
      if (point === 1) {
        await openCommand(client);
        return void client.socket.destroy();
      }
      const opened = await openCommand(client, 'stdin', 'stdout', ...(tty ? (['resize'] as const) : []));
      if (point === 3) opened.stdin.write('x'.repeat(200_000));
      if (point === 4) await until(() => Promise.resolve(opened.stdout.size() > 0));
      if (point === 5) {
        opened.stdin.end();
        opened.stdout.reset();
      }
      client.socket.destroy();
    };
    for (let warm = 0; warm < points; warm += 1) await one(warm, warm % 2 === 0);
    const none = async (): Promise<boolean> =>
      !(await run(['exec', id, 'ps'])).stdout.toString().includes('54321');
    const directories = async (): Promise<string[]> =>
      (await readdir(join(world.instance.state, 'containers', id))).filter((name) =>
        name.startsWith('exec-'),
      );
    await until(async () => (await none()) && (await directories()).length === 0);
    const before = await openForOthers(world.instance);
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(
        Array.from({ length: 2 * points }, (_none, index) => one(index % points, index < points)),
      );
    }
    await until(
      async () =>
        (await none()) &&
        (await directories()).length === 0 &&
        (await openForOthers(world.instance)) <= before,
    );
    expect(await readdir(join(world.instance.state, 'tty'))).toEqual([]);
  });

  it('the daemon has no abstract socket while a terminal is open (S34)', async () => {
    const { url } = await world.client.runtime.exec({
      containerId: id,
      cmd: ['sh'],
      tty: true,
      stdin: true,
      stdout: true,
    });
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    const { stdin, stdout } = await openCommand(client, 'stdin', 'stdout', 'resize');
    stdin.write('echo here\n');
    await until(() => Promise.resolve(stdout.size() > 0));
    const sockets = (await readFile('/proc/net/unix', 'utf8'))
      .split('\n')
      .map((line) => line.split(/\s+/u)[7] ?? '');
    const words = [...world.instance.words, id, 'conmon', 'troupe'];
    expect(
      sockets.filter((path) => path.startsWith('@') && words.some((word) => path.includes(word))),
    ).toEqual([]);
    stdin.write('exit 0\n');
    await stdout.all;
    client.close();
  });

  it('a restart after SIGKILL ends the execs of the killed daemon; the container goes on (F11)', async () => {
    for (const tty of [false, true]) {
      const { url } = await world.client.runtime.exec({
        containerId: id,
        cmd: ['sh', '-c', 'trap "" HUP; echo up; sleep 76543'],
        tty,
        stdin: true,
        stdout: true,
      });
      const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
      const { stdout } = await openCommand(client, 'stdin', 'stdout', ...(tty ? (['resize'] as const) : []));
      await until(() => Promise.resolve(stdout.size() > 0));
    }
    await world.instance.kill();
    killed.happened();
    await world.instance.start();
    await until(async () => !(await run(['exec', id, 'ps'])).stdout.toString().includes('76543'));
    expect((await crictl.container(id)).status.state).toBe('CONTAINER_RUNNING');
    expect(await readdir(join(world.instance.state, 'tty')).catch(() => [])).toEqual([]);
  });

  it('the stop of the container ends its execs', async () => {
    const { url } = await world.client.runtime.exec({
      containerId: id,
      cmd: ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 1; done'],
      stdout: true,
      stderr: true,
    });
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    const { stdout, error } = await openCommand(client, 'stdout', 'stderr');
    await until(() => Promise.resolve(stdout.size() > 0));
    await crictl.ok('stop', '-t', '10', id);
    expect((await error.all).toString()).toMatch(/137|has ended/u);
    client.close();
    expect((await run(['exec', id, 'true'])).stderr).toContain('not running');
  });
});

function sha(bytes: Buffer): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}
