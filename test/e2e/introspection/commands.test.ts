// The commands against a running daemon with pods, and what must never be seen in what they print (I20).
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { ContainerConfigSchema, KeyValueSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

const CANARY = 'canary-5f1c77';
const program = join(checkout, 'bin/troupe');

let world: World;
let pod: string;
let container: string;

beforeAll(async () => {
  world = await makeWorld({ name: 'cmd' });
  const image = await world.pull();
  const config = sandboxConfig({
    name: 'web',
    logDirectory: join(world.logs, 'web'),
    annotations: { secret: CANARY },
  });
  pod = (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
  const request = create(
    ContainerConfigSchema,
    containerConfig({ name: 'app', image, command: untilTermed(3), annotations: { secret: CANARY } }),
  );
  request.envs = [create(KeyValueSchema, { key: 'PASSWORD', value: Buffer.from(CANARY) })];
  request.args = [CANARY];
  container = (
    await world.client.runtime.createContainer({ podSandboxId: pod, sandboxConfig: config, config: request })
  ).containerId;
  await world.client.runtime.startContainer({ containerId: container });
});

afterAll(async () => {
  await world?.close();
});

const troupe = (...args: string[]) => run([program, ...args, '--state', world.instance.state]);
const json = async (...args: string[]): Promise<unknown> =>
  JSON.parse((await troupe(...args, '--json')).stdout) as unknown;

describe('ps, why, history, status', () => {
  it('show the pod and its container as a tree, whole and without colours in a pipe, cut where COLUMNS asks for it', async () => {
    const { stdout, code } = await troupe('ps');
    expect(code).toBe(0);
    const [head, first, second] = stdout.split('\n');
    expect(head).toMatch(/^POD +ID +STATE +FOR +WAITS ON$/u);
    expect(first).toMatch(new RegExp(`^default/web +${pod.slice(0, 13)} +ready +`, 'u'));
    expect(second).toMatch(new RegExp(`^└─ app +${container.slice(0, 13)} +running +`, 'u'));
    expect(stdout).not.toContain('\u001b');
    const width = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));
    const why = (await troupe('why', 'app')).stdout;
    expect(width(why)).toBeGreaterThan(60);
    expect(why).not.toContain('…');
    const narrow = await run([program, 'why', 'app', '--state', world.instance.state], {
      env: { COLUMNS: '60' },
    });
    expect(width(narrow.stdout)).toBeLessThanOrEqual(60);
  });

  it('find an actor by name, pod/name or prefix of an id', async () => {
    for (const word of ['app', 'web/app', 'default/web/app', container.slice(0, 10)]) {
      expect(await json('why', word)).toMatchObject({
        actor: { id: container, state: 'running', settled: true },
      });
    }
    expect(await json('history', 'app')).toMatchObject({
      address: `container/${container}`,
      history: [
        {
          from: '',
          on: 'xstate.init',
          cause: expect.stringMatching(/^CreateContainer [0-9a-f]+$/u) as string,
        },
        ...Array<object>(8).fill({}),
      ],
    });
    expect((await troupe('why', 'app')).stdout).toContain('waits     on nothing: it is settled');
  });

  it('say what a container in its grace period waits for, and by what it has ended', async () => {
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'stays', logDirectory: join(world.logs, 'stays') });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = containerConfig({
      name: 'stays',
      image: world.imageName,
      command: ['sh', '-c', "trap '' TERM; echo up; while :; do sleep 1; done"],
    });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    await startUntilUp(world.client, containerId);
    const stopped = runtime.stopContainer({ containerId, timeout: 600n });
    await expect
      .poll(async () => (await troupe('why', containerId)).stdout)
      .toMatch(
        /waits on {2}its process to exit: SIGTERM was sent, SIGKILL follows \(grace\)\n.*(?:9m|10m)\S* left\)\n +pid \d+, /u,
      );
    expect((await troupe('ps')).stdout).toMatch(/stays .*SIGKILL follows \(pid \d+\)/u);
    await runtime.stopContainer({ containerId, timeout: 0n });
    await stopped;
    expect((await troupe('why', containerId)).stdout).toContain('exit code 137, SIGKILL');
    expect((await troupe('history', containerId)).stdout).toMatch(/ → \w+ .*: exit code 137, SIGKILL$/mu);
    await runtime.removePodSandbox({ podSandboxId });
  });

  it('show the daemon and its configuration', async () => {
    expect(await json('status')).toMatchObject({
      pid: world.instance.pid() > 0 ? (expect.any(Number) as number) : 0,
      sandboxes: 1,
      containers: 1,
      networkReady: true,
      config: { root: world.instance.root },
    });
    const shown = (await troupe('status')).stdout;
    expect(shown).toMatch(/^network +ready: \S+ \(\/\S+\)$/mu);
    expect(shown).toMatch(/^handler +runc ready; runc version /mu);
    expect(shown).toMatch(new RegExp(`^config +${world.instance.directory}/\\S+\\.toml$`, 'mu'));
    expect(shown).toMatch(/^disk +\/\S+: [\d.]+ [GT]iB free of [\d.]+ [GT]iB$/mu);
    expect(shown).toMatch(/^ +images use [\d.]+ \w+, what containers wrote [\d.]+ \w+$/mu);
    expect((await troupe('config')).stdout).toContain(`root = "${world.instance.root}"`);
    const byDefault = await troupe('config', '--default');
    expect(byDefault.stdout.trim()).toBe(
      (await readFile(join(checkout, 'deploy/troupe.toml'), 'utf8')).trim(),
    );
  });

  it('exit with 1 for what the daemon refuses, 2 for wrong usage, 3 for what is not there, 4 without a daemon', async () => {
    const codes = async (argv: readonly string[]): Promise<readonly [number, string]> => {
      const { code, stdout, stderr } = await run([program, ...argv]);
      return [code, stdout + stderr];
    };
    const { state } = world.instance;
    expect(await codes(['why', '--state', state])).toEqual([
      2,
      'troupe why: expected one pod, container or id; see troupe help why\n',
    ]);
    expect(await codes(['ps', '--colour', '--state', state])).toEqual([
      2,
      'troupe ps: no such option --colour; see troupe help ps\n',
    ]);
    expect(await codes(['why', 'nobody', '--state', state])).toEqual([
      3,
      expect.stringMatching(/not found: no pod, container or pull has this id or name/u),
    ]);
    expect(await codes(['ps', '--introspection', '/nowhere.sock'])).toEqual([
      4,
      expect.stringMatching(/^troupe ps: no daemon answers at \/nowhere\.sock, where no socket is: /u),
    ]);
    // the daemon answers; it is the registry that does not
    expect(await codes(['pull', '127.0.0.1:1/no/registry:1', '--state', state])).toEqual([
      1,
      expect.stringMatching(/^troupe pull: (?!.*no daemon).*127\.0\.0\.1:1/u),
    ]);
    expect(await codes(['pull', `${world.registry}/no/such:1`, '--state', state])).toEqual([
      3,
      expect.stringMatching(/^troupe pull: (?!.*no daemon).*no\/such/u),
    ]);
    expect((await codes(['wipe', ...world.instance.argv.slice(2)]))[0]).toBe(1);
  });
});

describe('watch', () => {
  interface Line {
    readonly seq: number;
    readonly address: string;
    readonly to: string;
  }

  /** Lines until one fits, then Ctrl-C. */
  async function watchUntil(
    fits: (line: Line) => boolean,
    after: number,
  ): Promise<{ readonly lines: readonly Line[]; readonly code: number | null }> {
    const child = spawn(
      program,
      ['watch', '--json', '--after', String(after), '--state', world.instance.state],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const lines: Line[] = [];
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    for await (const text of createInterface({ input: child.stdout })) {
      const line = JSON.parse(text) as Line;
      lines.push(line);
      if (!fits(line)) continue;
      child.kill('SIGINT');
      break;
    }
    return { lines, code: await ended };
  }

  it('resumes behind a number without a gap, shows a pod’s whole life, and ends with 0 on Ctrl-C', async () => {
    const { seq } = (await json('ps')) as { seq: number };
    const config = sandboxConfig({ name: 'brief', logDirectory: join(world.logs, 'brief') });
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
    await world.client.runtime.stopPodSandbox({ podSandboxId });
    await world.client.runtime.removePodSandbox({ podSandboxId });
    const { lines, code } = await watchUntil(
      ({ address, to }) => address === `sandbox/${podSandboxId}` && to === 'gone',
      seq,
    );
    expect(code).toBe(0);
    expect(lines.map((line) => line.seq)).toEqual(lines.map((_, at) => seq + 1 + at));
    expect(
      lines.filter(({ address }) => address === `sandbox/${podSandboxId}`).map(({ to }) => to),
    ).toContain('ready');
    const middle = lines[Math.floor(lines.length / 2)]?.seq ?? 0;
    const again = await watchUntil(
      ({ address, to }) => address === `sandbox/${podSandboxId}` && to === 'gone',
      middle,
    );
    expect(again.lines).toEqual(lines.filter((line) => line.seq > middle));
  });
});

describe('watch over a restart of the daemon', () => {
  it('says that the daemon was restarted, and goes on with its changes from the start', async () => {
    const child = spawn(program, ['watch', '--json', '--state', world.instance.state], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [changes, notes]: [string[], string[]] = [[], []];
    createInterface({ input: child.stdout }).on('line', (line) =>
      changes.push((JSON.parse(line) as { address: string }).address),
    );
    createInterface({ input: child.stderr }).on('line', (line) => notes.push(line));
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    // a reported change proves that it watches
    const config = sandboxConfig({ name: 'first', logDirectory: join(world.logs, 'first') });
    const touch = async (): Promise<number> => {
      const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
      await world.client.runtime.stopPodSandbox({ podSandboxId });
      await world.client.runtime.removePodSandbox({ podSandboxId });
      return changes.length;
    };
    await expect.poll(touch).toBeGreaterThan(0);
    changes.length = 0;
    await world.instance.kill();
    await world.instance.start();
    await expect.poll(() => changes).toContain(`sandbox/${pod}`);
    expect(notes).toEqual([expect.stringMatching(/^troupe watch: the daemon was restarted \(pid \d+\)/u)]);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
  });
});

describe('secrets', () => {
  it('of environment, arguments, annotations, execs and registries are in no output (I20)', async () => {
    const auth = {
      username: 'user',
      password: CANARY,
      auth: '',
      serverAddress: '',
      identityToken: CANARY,
      registryToken: '',
    };
    await world.client.image.pullImage({ image: { image: world.imageName }, auth });
    await world.client.image
      .pullImage({ image: { image: world.imageName.replace('busybox', 'absent') }, auth })
      .catch(() => undefined);
    const exec = world.client.runtime
      .execSync({ containerId: container, cmd: ['sh', '-c', 'sleep 3600; true', CANARY], timeout: 3600n })
      .catch(() => undefined);
    const waits = async (): Promise<string> => JSON.stringify(await json('why', 'app'));
    await expect.poll(waits).toContain('exec');
    for (const args of [
      ['ps'],
      ['why', 'app'],
      ['why', 'web'],
      ['history', 'app'],
      ['log', 'web'],
      ['status'],
      ['config'],
      ['check', '--now'],
    ]) {
      for (const { stdout, stderr } of await Promise.all([troupe(...args), troupe(...args, '--json')])) {
        expect(stdout.length).toBeGreaterThan(0);
        expect(stdout + stderr).not.toContain(CANARY);
      }
    }
    await world.client.runtime.stopContainer({ containerId: container, timeout: 0n });
    await exec;
    expect((await troupe('ps')).stdout).toMatch(/└─ app .* exited .* exit code/u);
  });
});
