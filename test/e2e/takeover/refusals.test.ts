// What is no take-over: refused with a reason, in a bound, and the daemon that runs goes on.
import { chmodSync, closeSync, existsSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { takeOverLimits } from '../../../src/daemon/bounds.ts';
import { Link } from '../../../src/daemon/takeover/link.ts';
import { TAKE_OVER_PROTOCOL } from '../../../src/daemon/takeover/messages.ts';
import type { Hello } from '../../../src/daemon/takeover/messages.ts';
import { instanceOf } from '../../../src/daemon/wiring/instance-of.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { EVENT_MS, PROGRAM_MS } from '../../support/patience.ts';
import { injects } from '../../support/faults/injects.ts';
import { faultOf } from '../../support/fault-of.ts';
import { run } from '../../support/run.ts';
import { Successors } from '../handover/successors.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const [REFUSED, CONFIG] = [6, 78];

const unfit = injects('F92', 'a daemon of another protocol, journal, root, state or socket asks');

let world: World;
let takers: Successors;
let pid: number;
let path: string;
let hello: Hello;

const dial = (): Link => Link.dial(path, realClock());
const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length;

/** The reason with which the daemon refuses this. */
async function refusal(change: Partial<Hello>, fds: readonly number[] = []): Promise<string> {
  const link = dial();
  try {
    await link.send({ ...hello, ...change }, fds);
    return (await faultOf(link.expect('freezing', PROGRAM_MS))).message;
  } finally {
    link.close();
  }
}

/** Runs `troupe upgrade` with the instance's options. */
function upgrade(...options: readonly string[]): ReturnType<typeof run> {
  const [program, , ...own] = world.instance.argv;
  return run([program, 'upgrade', ...options, ...own]);
}

describePods('what is no take-over', () => {
  beforeAll(async () => {
    world = await makeWorld({ name: 'tkr', network: 'none' });
    takers = new Successors(world.instance);
    pid = world.instance.pid();
    const { root, state, socket } = world.instance;
    path = join(state, 'take-over.sock');
    const facts = await instanceOf({ ...defaultConfig, root, state, socket });
    hello = { type: 'hello', protocol: TAKE_OVER_PROTOCOL, isRescue: false, ...facts };
  });

  afterEach(async () => {
    // the same daemon serves
    expect(world.instance.pid()).toBe(pid);
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'after', logDirectory: world.logs, hostNetwork: true });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  });

  afterAll(async () => {
    for (const { child } of takers.all) child.kill('SIGKILL');
    await world.close();
  });

  test('F92 another protocol, an older journal, other directories and sockets: each has its reason', async () => {
    const other = { dev: '1', ino: '1' };
    const reasons = await Promise.all([
      refusal({ protocol: TAKE_OVER_PROTOCOL - 1 }),
      refusal({ protocol: TAKE_OVER_PROTOCOL + 1 }),
      refusal({ journal: hello.journal - 1 }),
      refusal({ root: other }),
      refusal({ state: other }),
      refusal({ socket: '/run/other.sock' }),
    ]);
    for (const [at, part] of [
      `protocol ${TAKE_OVER_PROTOCOL - 1}, `,
      `protocol ${TAKE_OVER_PROTOCOL + 1}, `,
      'reads the journal up to version 0',
      'another root',
      'another state directory',
      'another CRI socket',
    ].entries())
      expect(reasons[at]).toContain(part);
    unfit.happened();
  });

  test('a program with another root asks and is refused; with another state it finds the root locked, and is refused as well', async () => {
    const other = join(world.instance.directory, 'other');
    const [root, state] = [takers.start('--root', other), takers.start('--state', other)];
    expect(await root.ended).toBe(REFUSED);
    expect(await root.log()).toContain('another root');
    expect(await state.ended).toBe(REFUSED);
    expect(await state.log()).toContain(world.instance.root);
    expect(existsSync(other)).toBe(false);
  });

  test('a process of another user is refused, though the socket was opened to it', async () => {
    const { state } = world.instance;
    chmodSync(state, 0o711);
    chmodSync(path, 0o666);
    onTestFinished(() => {
      chmodSync(path, 0o600);
      chmodSync(state, 0o700);
    });
    const program =
      'socket(S,1,1,0);connect(S,pack("Sa*",1,$ARGV[0]."\\0"))or die"no";sysread(S,$b,4096);print$b';
    const { stdout } = await run([
      ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'],
      ...['perl', '-e', program, path],
    ]);
    expect(stdout).toContain("uid 65534 is not the daemon's");
  });

  test('bytes that are no message, and frames that are too long, end their connection', async () => {
    const before = descriptors();
    const header = (bytes: number, fds = 0): Buffer => Buffer.from(new Uint32Array([bytes, fds]).buffer);
    const bad = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      header(0xffff_ffff),
      header(1, 1000),
      Buffer.concat([header(5, 1), Buffer.from('\0{}  ')]),
      Buffer.concat([header(3), Buffer.from('\0{}')]),
      Buffer.concat([header(takeOverLimits.firstBytes + 2), Buffer.alloc(takeOverLimits.firstBytes + 2, 1)]),
    ];
    for (const bytes of bad) {
      const ended = await new Promise<string>((resolve) => {
        const socket = connect(path, () => socket.write(bytes));
        socket.on('error', (error) => resolve(error.message));
        socket.on('close', () => resolve('closed'));
        socket.resume();
      });
      expect(ended).toMatch(/closed|ECONNRESET|EPIPE/u);
    }
    await expect.poll(descriptors, { timeout: EVENT_MS }).toBe(before);
  });

  test('connections that say nothing are bounded, and descriptors that nobody asked for are closed', async () => {
    const before = descriptors();
    const silent = Array.from({ length: 2000 }, () => connect(path));
    for (const socket of silent) socket.on('error', () => undefined);
    await expect
      .poll(() => silent.filter(({ destroyed }) => destroyed).length, { timeout: EVENT_MS })
      .toBe(silent.length - takeOverLimits.silentPeers);
    expect(descriptors()).toBeLessThanOrEqual(before + takeOverLimits.silentPeers * 2);
    for (const socket of silent) socket.destroy();
    await expect.poll(descriptors, { timeout: EVENT_MS }).toBe(before);
    const file = openSync('/dev/null', 'r');
    onTestFinished(() => closeSync(file));
    expect(await refusal({ protocol: 0 }, [file, file, file])).toContain('protocol 0');
    await expect.poll(descriptors, { timeout: EVENT_MS }).toBe(before);
  });

  test('a program that fails its self-check has not taken over, and upgrade says how it ended', async () => {
    const program = join(world.instance.directory, 'broken.sh');
    writeFileSync(program, '#!/bin/sh\necho "self-check: failed" >&2\nexit 1\n');
    chmodSync(program, 0o755);
    const { code, stderr } = await upgrade('--program', program);
    expect([code, stderr]).toEqual([REFUSED, expect.stringContaining('ended with 1 and has not taken over')]);
    expect(await world.instance.log()).toContain('self-check: failed');
    const missing = await upgrade('--program', '/nowhere/troupe');
    expect([missing.code, missing.stderr]).toEqual([REFUSED, expect.stringContaining('/nowhere/troupe')]);
  });

  test('a configuration that is bad by now is refused by the new program’s start', async () => {
    const file = join(world.instance.directory, 'troupe.toml');
    const good = await readFile(file, 'utf8');
    await writeFile(file, `${good}\n[nonsense]\nkey = 1\n`);
    onTestFinished(() => writeFile(file, good));
    const taker = takers.start();
    expect(await taker.ended).toBe(CONFIG);
    // the command reads no configuration here, the program that the daemon starts does
    const [program] = world.instance.argv;
    const { code, stderr } = await run([program, 'upgrade', '--state', world.instance.state]);
    expect([code, stderr]).toEqual([REFUSED, expect.stringContaining(`ended with ${CONFIG}`)]);
  });
});
