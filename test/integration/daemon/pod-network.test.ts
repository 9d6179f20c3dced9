// Host ports and rates of a dual-stack pod, by the CNI plugins portmap and bandwidth: what a request says of them holds
// at the pod, and nothing else.
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PodSandboxConfigSchema, PortMappingSchema, Protocol } from '../../../src/gen/runtime/v1/api_pb.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { closeWorld, removePod } from './pod.ts';
import { unless } from '../../support/skips/unless.ts';

/** Above the range of ports that the kernel gives out by itself. */
const FIRST = 61_000 + (process.pid % 400) * 10;
const [ALL, LOOPBACK, UDP, GATEWAY_ONLY] = [FIRST, FIRST + 1, FIRST + 2, FIRST + 3];
const ANSWER_MS = EVENT_MS;
const REFUSED_MS = 2_000;

const hasIpv6 = spawnSync('ip6tables', ['-t', 'nat', '-S']).status === 0;
if (!hasIpv6) process.stdout.write('skipped, host ports of IPv6: no ip6tables with nat\n');

let world: World;
let servers: ChildProcess;
let podSandboxId: string;
let ips: readonly string[];
let gateway4: string;
const gateway6 = 'fd12:3456:789a:1::1';

beforeAll(async () => {
  world = await makeWorld({ name: 'ports' });
  await extendNetwork();
  const annotations = { 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '20M' };
  const config = create(
    PodSandboxConfigSchema,
    sandboxConfig({ name: 'ports', logDirectory: join(world.logs, 'ports'), annotations }),
  );
  const mapping = (hostPort: number, containerPort: number, protocol: Protocol, hostIp = '') =>
    create(PortMappingSchema, { hostPort, containerPort, protocol, hostIp });
  gateway4 = gatewayOf();
  config.portMappings = [
    mapping(ALL, 8080, Protocol.TCP),
    mapping(LOOPBACK, 8080, Protocol.TCP, '127.0.0.1'),
    mapping(UDP, 8081, Protocol.UDP),
    mapping(GATEWAY_ONLY, 8080, Protocol.TCP, gateway4),
  ];
  podSandboxId = (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
  const { status } = await world.client.runtime.podSandboxStatus({ podSandboxId });
  ips = [status?.network?.ip ?? '', ...(status?.network?.additionalIps ?? []).map(({ ip }) => ip)];
  servers = spawn(
    'nsenter',
    [
      `--net=${join(world.instance.state, 'ns', podSandboxId, 'net')}`,
      process.execPath,
      join(import.meta.dirname, 'host-port-servers.ts'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise<void>((resolve, reject) => {
    servers.stdout?.once('data', () => resolve());
    servers.once('exit', (code) => reject(new Error(`the pod's servers ended with ${code}`)));
  });
});

afterAll(async () => {
  servers.kill('SIGKILL');
  await removePod(world, podSandboxId);
  expect(await closeWorld(world)).toEqual([]);
});

const conflist = (): string => join(world.instance.directory, 'cni/10-test.conflist');

/** The instance's own network with a range of IPv6 beside that of IPv4, and with rates. */
async function extendNetwork(): Promise<void> {
  const network = JSON.parse(readFileSync(conflist(), 'utf8')) as {
    plugins: [{ ipam: { ranges: object[][]; routes: object[] } }, ...object[]];
  };
  network.plugins.push({ type: 'bandwidth', capabilities: { bandwidth: true } });
  if (hasIpv6) {
    network.plugins[0].ipam.ranges.push([{ subnet: 'fd12:3456:789a:1::/64', gateway: gateway6 }]);
    network.plugins[0].ipam.routes.push({ dst: '::/0' });
  }
  await world.instance.terminate();
  writeFileSync(conflist(), JSON.stringify(network));
  await world.instance.start();
}

function gatewayOf(): string {
  const {
    plugins: [
      {
        ipam: {
          ranges: [[range]],
        },
      },
    ],
  } = JSON.parse(readFileSync(conflist(), 'utf8')) as {
    plugins: [{ ipam: { ranges: [[{ subnet: string }]] } }];
  };
  return range.subnet.replace(/\.0\/24$/u, '.1');
}

const tcp = (host: string, port: number, timeoutMs = ANSWER_MS): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    let said = '';
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer')));
    socket
      .on('data', (chunk) => (said += String(chunk)))
      .once('error', ({ message }) => resolve(`no: ${message}`))
      .once('end', () => resolve(said));
  });

const udp = (host: string, port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    const end = (act: () => void): void => {
      clearTimeout(timer);
      socket.close();
      act();
    };
    const timer = setTimeout(() => end(() => reject(new Error('no answer'))), ANSWER_MS);
    socket
      .once('message', (message) => end(() => resolve(message.toString())))
      .once('error', (error) => end(() => reject(error)));
    socket.send('who', port, host);
  });

/** Name of the host's end of the pod's link. */
function hostsEnd(): string {
  const netns = join(world.instance.state, 'ns', podSandboxId, 'net');
  const [{ link_index: index = 0 } = {}] = JSON.parse(
    spawnSync('nsenter', [`--net=${netns}`, 'ip', '-j', 'link', 'show', 'eth0'], { encoding: 'utf8' }).stdout,
  ) as { link_index?: number }[];
  const links = JSON.parse(spawnSync('ip', ['-j', 'link'], { encoding: 'utf8' }).stdout) as {
    ifindex: number;
    ifname: string;
  }[];
  return links.find(({ ifindex }) => ifindex === index)?.ifname ?? 'none';
}

describe('S51 what a pod may not do to others', () => {
  const hasSysctls = existsSync('/proc/sys/net/ipv6/conf');
  if (!hasSysctls) process.stdout.write('skipped, router advertisements: this kernel has no IPv6\n');

  unless(it, hasSysctls ? '' : 'the kernel has IPv6 disabled')(
    'the host ignores router advertisements of a pod',
    () => {
      const [bridge = ''] = world.instance.words;
      const accepted = [bridge, hostsEnd()].map((name) =>
        readFileSync(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, 'utf8').trim(),
      );
      expect(accepted).toEqual(['0', '0']);
    },
  );

  it('a host port takes no packet sent to another pod’s address', async () => {
    const pods = await Promise.all(
      ['asker', 'asked'].map(async (name) => {
        const config = create(
          PodSandboxConfigSchema,
          sandboxConfig({ name, logDirectory: join(world.logs, name) }),
        );
        return (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
      }),
    );
    const [asker = '', asked = ''] = pods;
    const { status } = await world.client.runtime.podSandboxStatus({ podSandboxId: asked });
    const ask = async (host: string, port: number): Promise<string> => {
      const script =
        "require('node:net').connect(Number(process.argv[2]), process.argv[1]).on('data', (said) => console.log(String(said))).on('error', ({ code }) => console.log(code))";
      const argv = [
        `--net=${join(world.instance.state, 'ns', asker, 'net')}`,
        process.execPath,
        '-e',
        script,
        host,
        String(port),
      ];
      return (await promisify(execFile)('nsenter', argv, { timeout: ANSWER_MS })).stdout;
    };
    expect(await ask(status?.network?.ip ?? '', ALL)).toBe('ECONNREFUSED\n');
    // the check itself works: the host port belongs to the pod that asked for it
    expect(await ask(gateway4, ALL)).toBe('tcp 0.0.0.0\n');
    for (const pod of pods) await removePod(world, pod);
  });
});

describe('the network namespace', () => {
  it('is shown where plugins and network daemons find it, and is removed with its pod', async () => {
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name: 'shown', logDirectory: join(world.logs, 'shown') }),
    );
    const { podSandboxId: shown } = await world.client.runtime.runPodSandbox({ config });
    const { status } = await world.client.runtime.podSandboxStatus({ podSandboxId: shown });
    const path = join(world.instance.netnsDir, `troupe-${shown}`);
    expect(
      spawnSync('nsenter', [`--net=${path}`, 'ip', '-4', '-o', 'addr', 'show', 'eth0'], { encoding: 'utf8' })
        .stdout,
    ).toContain(` ${status?.network?.ip}/`);
    await removePod(world, shown);
    expect(existsSync(path)).toBe(false);
  });

  it('has the sysctls of the interface that the plugins made; one of a missing interface is refused and leaves nothing', async () => {
    const request = (name: string, sysctl: string) => {
      const config = create(
        PodSandboxConfigSchema,
        sandboxConfig({ name, logDirectory: join(world.logs, name) }),
      );
      if (config.linux !== undefined) config.linux.sysctls = { [sysctl]: '2' };
      return world.client.runtime.runPodSandbox({ config });
    };
    const { podSandboxId: own } = await request('own', 'net.ipv4.conf.eth0.arp_ignore');
    const netns = join(world.instance.state, 'ns', own, 'net');
    expect(
      spawnSync('nsenter', [`--net=${netns}`, 'cat', '/proc/sys/net/ipv4/conf/eth0/arp_ignore'], {
        encoding: 'utf8',
      }).stdout,
    ).toBe('2\n');
    await removePod(world, own);
    await expect(request('absent', 'net.ipv4.conf.eth7.arp_ignore')).rejects.toThrow(
      /eth7\.arp_ignore=2: ENOENT/u,
    );
  });
});

describe('rates', () => {
  it('are in force in both directions', () => {
    const ifname = hostsEnd();
    const rules = (...words: readonly string[]): string =>
      spawnSync('tc', [...words, 'dev', ifname], { encoding: 'utf8' }).stdout;
    expect(rules('qdisc', 'show')).toMatch(/qdisc tbf .* rate 10Mbit /u);
    // what comes from the pod is sent through a device of its own, where it can be held back
    const other =
      /Redirect to device (\S+?)\)/u.exec(rules('filter', 'show', 'parent', 'ffff:'))?.[1] ?? 'none';
    expect(spawnSync('tc', ['qdisc', 'show', 'dev', other], { encoding: 'utf8' }).stdout).toMatch(
      /qdisc tbf .* rate 20Mbit /u,
    );
  });
});

describe('host ports', () => {
  it('belong to a pod with an address of each family', () => {
    expect(ips).toEqual(
      hasIpv6
        ? [expect.stringMatching(/^10\./u), expect.stringMatching(/^fd12:3456:789a:1:/u)]
        : [expect.stringMatching(/^10\./u)],
    );
  });

  it('forward TCP on every address of the host, 127.0.0.1 included', async () => {
    expect(await tcp('127.0.0.1', ALL)).toBe('tcp 0.0.0.0');
    expect(await tcp(gateway4, ALL)).toBe('tcp 0.0.0.0');
  });

  it('forward TCP on one address and on no other', async () => {
    expect(await tcp('127.0.0.1', LOOPBACK)).toBe('tcp 0.0.0.0');
    expect(await tcp(gateway4, LOOPBACK, REFUSED_MS)).toContain('no: ');
    expect(await tcp(gateway4, GATEWAY_ONLY)).toBe('tcp 0.0.0.0');
    expect(await tcp('127.0.0.1', GATEWAY_ONLY, REFUSED_MS)).toContain('no: ');
  });

  it('forward UDP, but not TCP of the same number', async () => {
    expect(await udp('127.0.0.1', UDP)).toBe('udp 0.0.0.0');
    expect(await udp(gateway4, UDP)).toBe('udp 0.0.0.0');
    expect(await tcp('127.0.0.1', UDP, REFUSED_MS)).toContain('no: ');
  });

  unless(it, hasIpv6 ? '' : 'needs ip6tables with its nat table')('forward TCP and UDP of IPv6', async () => {
    // from another pod: what this kernel's own sockets send to its addresses of IPv6 is not matched by the plugin's
    // rules
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name: 'client', logDirectory: join(world.logs, 'client') }),
    );
    const client = (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
    const argv = [
      `--net=${join(world.instance.state, 'ns', client, 'net')}`,
      process.execPath,
      join(import.meta.dirname, 'host-port-client.ts'),
      gateway6,
      String(ALL),
      String(UDP),
    ];
    const { stdout, stderr } = await promisify(execFile)('nsenter', argv, { timeout: ANSWER_MS });
    expect([stdout, stderr]).toEqual(['tcp ::\nudp ::\n', '']);
    await removePod(world, client);
  });
});
