// `troupe run`, `troupe logs` and `troupe rm` against a running daemon.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { withoutPulledLines } from '../images/pulled-lines.ts';
import { finish, inShell, start, terminal } from './support.ts';

const MIB = 1024 * 1024;
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let world: World;

beforeAll(async () => {
  world = await makeWorld({ name: 'run' });
});

afterAll(async () => world?.close());

const run = (...args: readonly string[]) => finish(world, 'run', args);
const pods = async (): Promise<readonly string[]> =>
  (await world.client.runtime.listPodSandbox({})).items.map(({ metadata }) => metadata?.name ?? '');

describe('troupe run', () => {
  it('pulls an image that is missing, and ends with the program’s output and code; the pod is removed', async () => {
    const ended = await run(world.imageName, 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(ended).toMatchObject({ code: 7, stdout: Buffer.from('out\n') });
    expect(withoutPulledLines(ended.stderr)).toBe('err\n');
    expect(await run(world.imageName, 'true')).toMatchObject({ code: 0, stderr: '' });
    expect(await pods()).toEqual([]);
  });

  it('sets variables, volumes, the network and the name', async () => {
    const shared = join(world.instance.directory, 'shared');
    await mkdir(shared);
    await writeFile(join(shared, 'file'), 'from the host');
    const script = 'echo "$A|$(cat /in/file)|$(hostname)"; echo x > /in/file || echo read-only';
    expect(
      (
        await run(
          '-e',
          'A=b=c',
          '-v',
          `${shared}:/in:ro`,
          '--name',
          'named',
          world.imageName,
          'sh',
          '-c',
          script,
        )
      ).stdout.toString(),
    ).toBe('b=c|from the host|named\nread-only\n');
    const links = (await run('--network', 'host', world.imageName, 'ls', '/sys/class/net')).stdout.toString();
    expect(links).toContain(world.instance.words[0]);
  });

  it('refuses a volume whose path does not exist on the host, and makes neither the path nor a pod', async () => {
    const path = join(world.instance.directory, 'nowhere');
    expect(await run('--name', 'astray', '-v', `${path}:/in`, world.imageName, 'true')).toMatchObject({
      code: 125,
      stderr: `troupe run: --volume ${path}: not found\n`,
    });
    expect(existsSync(path)).toBe(false);
    expect(await pods()).toEqual([]);
  });

  it('runs with the default seccomp profile and masked paths', async () => {
    const script =
      'grep Seccomp: /proc/self/status; head -c1 /proc/kcore | wc -c; unshare -m true || echo denied';
    const { stdout } = await run(world.imageName, 'sh', '-c', script);
    expect(stdout.toString()).toBe('Seccomp:\t2\n0\ndenied\n');
  });

  it('passes 10 MiB unchanged in both directions, whatever bytes they are', async () => {
    const bytes = randomBytes(10 * MIB);
    const { stdout, code } = await finish(world, 'run', ['-i', world.imageName, 'cat'], bytes);
    expect(code).toBe(0);
    expect(sha(stdout)).toBe(sha(bytes));
  });

  it('is a terminal with -it: what the program prints first is shown, keys reach it, its code is kept', async () => {
    const pty = terminal(world, 'run', '-it', '--name', 'term', world.imageName, 'sh');
    await pty.until(/# $/u);
    pty.type('until [ "$(stty size)" = "33 111" ]; do sleep 0.1; done; tty; echo si""zed\r');
    await pty.until(/sized/u);
    pty.resize(90, 20);
    pty.type('until [ "$(stty size)" = "20 90" ]; do sleep 0.1; done; echo resi""zed\r');
    await pty.until(/resized/u);
    pty.type('sleep 1234\r');
    const running = async (): Promise<string> =>
      (await finish(world, 'exec', ['term', '--', 'ps', '-o', 'args'])).stdout.toString();
    // keys that arrive before the program begins are not its own
    await expect.poll(running).toMatch(/^sleep 1234$/mu);
    pty.type('\u0003');
    await expect.poll(running).not.toMatch(/^sleep 1234$/mu);
    pty.type('exit 9\r');
    expect(await pty.ended).toMatchObject({ exitCode: 9 });
    expect(await pods()).toEqual([]);
  });

  it('stops the program and removes the pod on Ctrl-C and SIGTERM, at once on the second', async () => {
    const script = 'trap "echo stopped; exit 3" TERM; echo up; while :; do sleep 0.1; done';
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const started = start(world, 'run', [world.imageName, 'sh', '-c', script]);
      await expect.poll(started.stdout).toBe('up\n');
      started.child.kill(signal);
      expect(await started.ended).toMatchObject({ code, stdout: Buffer.from('up\nstopped\n') });
      expect(await pods()).toEqual([]);
    }
    const stubborn = start(world, 'run', [
      world.imageName,
      'sh',
      '-c',
      'trap "" TERM; echo up; exec sleep 600',
    ]);
    await expect.poll(stubborn.stdout).toBe('up\n');
    stubborn.child.kill('SIGINT');
    await expect.poll(() => world.instance.log()).toContain('StopContainer');
    stubborn.child.kill('SIGINT');
    expect(await stubborn.ended).toMatchObject({ code: 130 });
    expect(await pods()).toEqual([]);
  });

  it('restores its terminal after a signal', async () => {
    const pty = inShell(world, 'run', '-it', '--name', 'raw', world.imageName, 'sh');
    await pty.until(/# $/u);
    await expect.poll(pty.isRaw).toBe(true);
    pty.type('exit 4\r');
    await pty.until(/code=4/u);
    expect(await pty.isRaw()).toBe(false);
    pty.kill('SIGKILL');
  });

  it('removes the pod when nobody reads the output', async () => {
    const endless = start(world, 'run', [world.imageName, 'yes']);
    await expect.poll(() => endless.stdout().length).toBeGreaterThan(0);
    endless.child.stdout?.destroy();
    expect(await endless.ended).toMatchObject({ code: 141 });
    expect(await pods()).toEqual([]);
  });

  it('goes on over a restart of the daemon, and then removes the pod', async () => {
    const script = 'echo up; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo late; exit 6';
    const started = start(world, 'run', ['--name', 'lasts', world.imageName, 'sh', '-c', script]);
    await expect.poll(started.stdout).toBe('up\n');
    await world.instance.kill();
    await expect.poll(started.stderr).toContain('the daemon does not answer; the container goes on');
    await world.instance.start();
    expect(await finish(world, 'exec', ['lasts', '--', 'touch', '/tmp/end'])).toMatchObject({ code: 0 });
    expect(await started.ended).toMatchObject({ code: 6, stdout: Buffer.from('up\nlate\n') });
    expect(await pods()).toEqual([]);
  });

  it('says what is left when the daemon does not come back, and how to remove it', async () => {
    const started = start(world, 'run', [
      '--name',
      'left',
      world.imageName,
      'sh',
      '-c',
      'echo up; exec sleep 600',
    ]);
    await expect.poll(started.stdout).toBe('up\n');
    await world.instance.kill();
    await expect.poll(started.stderr).toContain('does not answer');
    // the second one gives up; two that are pending at once count as one
    await expect.poll(() => started.child.kill('SIGINT')).toBe(false);
    const ended = await started.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain('troupe run: pod default/left is left: troupe rm left removes it');
    await world.instance.start();
    expect(await finish(world, 'rm', ['left'])).toMatchObject({ code: 0 });
    expect(await pods()).toEqual([]);
  });

  it('ends with 127 for a program that is not in the image, and with 125 for what it can’t do', async () => {
    expect(await run(world.imageName, 'no-such-program')).toMatchObject({ code: 127 });
    expect(await run(`${world.registry}/no/such:1`)).toMatchObject({ code: 125 });
    expect(await run('--network', 'none', world.imageName)).toMatchObject({ code: 125 });
    expect(await pods()).toEqual([]);
  });
});

describe('a pod that is kept', () => {
  it('has its logs, is named once, and is removed by troupe rm', async () => {
    const script = 'echo one; echo two >&2; echo three; exec sleep 600';
    expect(await run('--detach', '--name', 'kept', world.imageName, 'sh', '-c', script)).toMatchObject({
      code: 0,
      stdout: Buffer.from('kept\n'),
    });
    expect(await run('--name', 'kept', world.imageName, 'true')).toMatchObject({
      code: 125,
      stderr: 'troupe run: pod default/kept exists: troupe rm kept removes it\n',
    });
    const logs = (...args: readonly string[]) => finish(world, 'logs', ['kept', ...args]);
    await expect.poll(async () => (await logs()).stdout.toString()).toBe('one\nthree\n');
    expect(await logs('--tail', '2')).toMatchObject({ stdout: Buffer.from('three\n'), stderr: 'two\n' });
    expect((await logs('--timestamps')).stdout.toString()).toMatch(/^\d{4}-\S+ one\n\d{4}-\S+ three\n$/u);
    expect((await logs('--since', '1h')).stdout.toString()).toBe('one\nthree\n');
    expect((await logs('--since', '2100-01-01T00:00:00Z')).stdout.toString()).toBe('');
    expect(await logs('--since', 'yesterday')).toMatchObject({ code: 2 });
    expect(await logs('--tail', 'x')).toMatchObject({ code: 2 });
    expect(await logs('--previous')).toMatchObject({ code: 3 });
    expect(await finish(world, 'rm', ['kept'])).toMatchObject({ code: 0, stderr: '' });
    expect(await logs()).toMatchObject({ code: 3 });
    expect(await pods()).toEqual([]);
  });

  it('is followed to its end', async () => {
    const script = 'n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); echo $n; sleep 0.1; done; echo last';
    await run('--detach', '--name', 'counts', world.imageName, 'sh', '-c', script);
    const followed = start(world, 'logs', ['--follow', 'counts']);
    await expect.poll(followed.stdout).toContain('3\n');
    // as the kubelet rotates
    const { containers } = await world.client.runtime.listContainers({});
    const containerId = containers.find(({ metadata }) => metadata?.name === 'counts')?.id ?? '';
    const { status } = await world.client.runtime.containerStatus({ containerId });
    const path = status?.logPath ?? '';
    await rename(path, `${path}.old`);
    await world.client.runtime.reopenContainerLog({ containerId });
    await expect.poll(() => readFile(path, 'utf8').catch(() => '')).not.toBe('');
    await finish(world, 'exec', ['counts', '--', 'touch', '/tmp/end']);
    const { code, stdout } = await followed.ended;
    expect(code).toBe(0);
    const lines = stdout.toString().trim().split('\n');
    expect(lines).toEqual([...lines.slice(0, -1).map((_, at) => String(at + 1)), 'last']);
    await finish(world, 'rm', ['counts']);
  });

  it('of a kubelet is not removed', async () => {
    const { runtime } = world.client;
    const config = { metadata: { name: 'theirs', namespace: 'default', uid: 'u', attempt: 0 } };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    expect(await finish(world, 'rm', ['theirs'])).toMatchObject({ code: 1 });
    expect(await finish(world, 'rm', ['--force', 'theirs'])).toMatchObject({ code: 0 });
    expect((await runtime.listPodSandbox({ filter: { id: podSandboxId } })).items).toEqual([]);
  });
});

it('nothing is left on the machine', async () => {
  expect(await world.leftovers()).toEqual([]);
});
