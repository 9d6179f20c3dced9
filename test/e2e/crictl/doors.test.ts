// The doors of a real daemon: peers that are half open at each of them (S94), and the file of the CRI socket (F90).
import { spawn } from 'node:child_process';
import { existsSync, statSync, unlinkSync } from 'node:fs';
import { type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { halfOpenLimits } from '../../../src/base/bounds.ts';
import { OPEN_HEADERS, PREFACE, SETTINGS, SETTINGS_ACK, halfCall, silent } from '../../support/half-open.ts';
import { containerJson, Crictl, describePods } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import { freePort } from '../support/servers.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';

describePods('the doors of the daemon', () => {
  let world: World;
  let crictl: Crictl;
  let ports: readonly [number, number];
  beforeAll(async () => {
    ports = [await freePort(), await freePort()];
    world = await makeWorld({
      name: 'doors',
      config: `[streaming]\nport = ${ports[0]}\n[introspection]\nhttp_address = "127.0.0.1:${ports[1]}"\n`,
    });
    crictl = new Crictl(world);
    await world.pull();
  });
  afterAll(async () => await world.close());

  test('S94: a half-open connection to any server is cut within 10 s, and the kubelet is served meanwhile', async () => {
    const { socket, state } = world.instance;
    const head = Buffer.from('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n');
    const version = '/runtime.v1.RuntimeService/Version';
    const http: NetConnectOpts[] = [
      { port: ports[0], host: '127.0.0.1' },
      { port: ports[1], host: '127.0.0.1' },
      { path: join(state, 'introspection.sock') },
    ];
    const doors: (readonly [NetConnectOpts, Uint8Array])[] = [
      ...[
        [],
        [PREFACE],
        [PREFACE, SETTINGS, SETTINGS_ACK, OPEN_HEADERS],
        [PREFACE, SETTINGS, SETTINGS_ACK, halfCall(version)],
      ].map((parts) => [{ path: socket }, Buffer.concat(parts)] as const),
      ...http.flatMap((where) => [[where, new Uint8Array()] as const, [where, head] as const]),
    ];
    const since = performance.now();
    const peers = await Promise.all(
      doors.flatMap(([where, bytes]) => Array.from({ length: 8 }, () => silent(where, bytes))),
    );
    expect(await crictl.ok('version')).toContain('troupe');
    expect(peers.filter(({ isCut }) => isCut)).toEqual([]);
    await Promise.all(peers.map(({ cut }) => cut));
    // that the bound is below 10 s is seen without a clock (test/unit/base/half-open.test.ts): a busy machine is late
    expect(performance.now() - since).toBeGreaterThan(halfOpenLimits.scanMs * (halfOpenLimits.scans - 2));
  });

  test('F90: a deleted socket file comes back', async () => {
    const { socket } = world.instance;
    unlinkSync(socket);
    await until(() => Promise.resolve(existsSync(socket)));
    expect(statSync(socket).mode & 0o7777).toBe(0o600);
    expect(await crictl.ok('version')).toContain('troupe');
  });

  test('F90: a daemon whose socket another one has taken logs the reason and exits with 5; containers run on', async () => {
    const pod = await crictl.runPod('stays');
    const container = await crictl.runContainer(pod, containerJson('stays', world.imageName, untilTermed(0)));
    const { socket } = world.instance;
    // in one step: a deleted socket file would come back
    const script = `const [own, path] = process.argv.slice(1);
      require('node:net').createServer().listen(own, () => {
        require('node:fs').renameSync(own, path);
        console.log('ready');
      });`;
    const other = spawn(process.execPath, ['-e', script, `${socket}.other`, socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void other.kill());
    await new Promise((resolve) => other.stdout.once('data', resolve));
    expect(await world.instance.ended()).toBe(5);
    expect(await world.instance.log()).toContain(`process ${other.pid} of uid 0 listens on ${socket} now`);
    expect(existsSync(socket)).toBe(true);
    await new Promise((resolve) => {
      other.once('exit', resolve);
      other.kill('SIGKILL');
    });
    await world.instance.start();
    expect((await crictl.container(container)).status.state).toBe('CONTAINER_RUNNING');
    await crictl.ok('rmp', '--force', pod.id);
  });
});
