// `troupe exec` in a real pseudo-terminal and with pipes: sizes, modes, exit codes, signals, cut connections.
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { childOf, finish, inShell, start, terminal } from './support.ts';

const MIB = 1024 * 1024;
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let world: World;

beforeAll(async () => {
  world = await makeWorld({ name: 'exe' });
  const image = await world.pull();
  const { runtime } = world.client;
  for (const [name, containers] of [
    ['web', ['app']],
    ['two', ['one', 'other']],
  ] as const) {
    const config = sandboxConfig({ name, logDirectory: `${world.logs}/${name}` });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    for (const container of containers) {
      const request = containerConfig({ name: container, image, command: untilTermed(3) });
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: request,
      });
      await runtime.startContainer({ containerId });
    }
  }
});

afterAll(async () => world?.close());

const exec = (...args: readonly string[]) => finish(world, 'exec', args);
const codeOf = async (...args: readonly string[]): Promise<number | null> => (await exec(...args)).code;
/** Lines of `ps` in the container that end with the command line. */
const running = async (commandLine: string): Promise<string> =>
  (await exec('web', '--', 'ps', '-o', 'args')).stdout
    .toString()
    .split('\n')
    .filter((line) => line === commandLine)
    .join();

describe('troupe exec in a terminal', () => {
  it('has the size of the terminal from the start, and the new one after a resize', async () => {
    const pty = terminal(world, 'exec', '-it', 'web', '--', 'sh');
    await pty.until(/# $/u);
    pty.type('stty size\r');
    await pty.until(/33 111/u);
    pty.resize(90, 20);
    // the signal and the message overtake each other: the size is asked for until it is the new one
    pty.type('until [ "$(stty size)" = "20 90" ]; do sleep 0.1; done; echo resi""zed\r');
    await pty.until(/resized/u);
    pty.type('exit 5\r');
    expect(await pty.ended).toMatchObject({ exitCode: 5 });
  });

  it('is raw while the program runs, and restored after it and after each signal that ends the command', async () => {
    for (const signal of ['', 'SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT']) {
      const pty = inShell(world, 'exec', '-it', 'web', '--', 'sh', '-c', 'echo rea""dy; read line');
      await pty.until(/ready/u);
      await expect.poll(pty.isRaw).toBe(true);
      if (signal === '') pty.type('\r');
      else process.kill(await childOf(pty.pid), signal as NodeJS.Signals);
      await pty.until(/code=\d+/u);
      expect(await pty.isRaw()).toBe(false);
      expect(pty.text()).toContain(
        `code=${{ SIGTERM: 143, SIGHUP: 129, SIGINT: 130, SIGQUIT: 131 }[signal] ?? 0}`,
      );
      pty.kill('SIGKILL');
    }
  });

  it('passes Ctrl-C and Ctrl-D on as bytes: Ctrl-C interrupts the program and not the command', async () => {
    const pty = terminal(world, 'exec', '-it', 'web', '--', 'sh');
    await pty.until(/# $/u);
    pty.type('sleep 1234\r');
    await expect.poll(() => running('sleep 1234')).not.toBe('');
    pty.type('\u0003');
    await pty.until(/# $/u);
    pty.type('echo code=$?\r');
    await pty.until(/code=130/u);
    pty.type('\u0004');
    expect(await pty.ended).toMatchObject({ exitCode: 0 });
  });

  it('restores the terminal and fails when the connection is cut', async () => {
    const pty = inShell(world, 'exec', '-it', 'web', '--', 'sh', '-c', 'echo rea""dy; read line');
    await pty.until(/ready/u);
    await expect.poll(pty.isRaw).toBe(true);
    await world.instance.kill();
    await pty.until(/code=125/u);
    expect(await pty.isRaw()).toBe(false);
    expect(pty.text()).toContain('troupe exec: the connection to the daemon was lost');
    pty.kill('SIGKILL');
    await world.instance.start();
  });

  it('needs one for -it', async () => {
    expect(await exec('-it', 'web', '--', 'true')).toMatchObject({
      code: 125,
      stderr: 'troupe exec: the input is not a terminal: leave out -t\n',
    });
  });
});

describe('troupe exec without a terminal', () => {
  it('ends with the code of the program', async () => {
    expect(await codeOf('web', '--', 'true')).toBe(0);
    expect(await codeOf('web/app', 'sh', '-c', 'exit 7')).toBe(7);
    expect(await codeOf('web', '--', 'sh', '-c', 'kill -9 $$')).toBe(137);
    expect(await codeOf('web', '--', '/no/such/program')).toBe(127);
    expect(await codeOf('web', '--', 'no-such-program')).toBe(127);
    expect(await codeOf('web', '--', '/etc/passwd')).toBe(126);
  });

  it('ends with 125 for every failure of its own, and says which', async () => {
    expect(await exec('nobody', '--', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('not found') as string,
    });
    expect(await exec('two', '--', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/default\/two has 2 containers: two\/one, two\/other/u) as string,
    });
    expect(await exec('--introspection', '/nowhere.sock', 'web', '--', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/no daemon answers at \/nowhere\.sock/u) as string,
    });
  });

  it('keeps both outputs apart, and says that a container does not run', async () => {
    expect(await exec('web', '--', 'sh', '-c', 'echo out; echo err >&2')).toMatchObject({
      stdout: Buffer.from('out\n'),
      stderr: 'err\n',
    });
    const { runtime } = world.client;
    const { containers } = await runtime.listContainers({});
    const containerId = containers.find(({ metadata }) => metadata?.name === 'other')?.id ?? '';
    await runtime.stopContainer({ containerId, timeout: 0n });
    expect(await exec('two/other', '--', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/the container is exited, not running/u) as string,
    });
  });

  it('passes 10 MiB unchanged in both directions, whatever bytes they are', async () => {
    const bytes = randomBytes(10 * MIB);
    const sent = await finish(world, 'exec', ['-i', 'web', '--', 'sha256sum'], bytes);
    expect(sent.stdout.toString()).toContain(sha(bytes));
    const echoed = await finish(world, 'exec', ['-i', 'web', '--', 'cat'], bytes);
    expect(sha(echoed.stdout)).toBe(sha(bytes));
  });

  it('ends the program when it is interrupted, and when nobody reads its output', async () => {
    const sleeping = start(world, 'exec', ['web', '--', 'sleep', '4321']);
    await expect.poll(() => running('sleep 4321')).not.toBe('');
    sleeping.child.kill('SIGINT');
    expect(await sleeping.ended).toMatchObject({ code: 130 });
    await expect.poll(() => running('sleep 4321')).toBe('');
    const endless = start(world, 'exec', ['web', '--', 'yes']);
    await expect.poll(() => endless.stdout().length).toBeGreaterThan(0);
    endless.child.stdout?.destroy();
    expect(await endless.ended).toMatchObject({ code: 141 });
    await expect.poll(() => running('yes')).toBe('');
  });
});
