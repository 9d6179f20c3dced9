// Networks that no module brings: plugins of ours with the manners of software-defined networks.
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EVENT_MS } from '../../support/patience.ts';
import { same, untilFound } from '../support/parts.ts';
import { makeNetWorld, type NetWorld } from './net-world.ts';

/** A row that is not proven by the steps of `proveNetwork`. */
export interface OwnRow {
  readonly title: string;
  readonly play: () => Promise<string>;
}

const VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];

/**
 * A plugin as a shell script: `body` runs with `$CNI_COMMAND` set and stdin not yet read. It makes no link, so its
 * pods have addresses that nobody reaches.
 */
async function writePlugin(directory: string, name: string, body: string): Promise<void> {
  const version = JSON.stringify({ cniVersion: '1.1.0', supportedVersions: VERSIONS });
  const own = join(directory, 'plugins');
  await writeFile(
    join(own, name),
    `#!/bin/sh\nif [ "$CNI_COMMAND" = VERSION ]; then echo '${version}'; exit 0; fi\n${body}\n`,
  );
  await chmod(join(own, name), 0o755);
}

/** A daemon with this one plugin, started and ready; taken away when `play` has ended. */
async function withPlugin(
  cniVersion: string,
  body: (directory: string) => string,
  play: (world: NetWorld) => Promise<string>,
): Promise<string> {
  const world = await makeNetWorld({
    pluginDirs: [],
    gated: [],
    reservations: ['given'],
  });
  try {
    const { directory } = world;
    await mkdir(join(directory, 'given'));
    await writePlugin(directory, 'sdn', body(directory));
    await world.configure({ cniVersion, name: 'sdn-net', plugins: [{ type: 'sdn' }] });
    await world.instance.start();
    await world.untilReady();
    return await play(world);
  } finally {
    await world.close();
  }
}

const answer = (result: object): string => `echo '${JSON.stringify(result)}'`;

interface ResultShape {
  readonly title: string;
  readonly cniVersion: string;
  readonly result: object;
  /** Addresses of the pod's status. */
  readonly ips: readonly string[];
}

const SANDBOX = '/proc/1/ns/net';

const shapes: readonly ResultShape[] = [
  {
    title: "in Calico's shape: /32 and /128, no gateway, the host's interface alone",
    cniVersion: '0.3.1',
    result: {
      cniVersion: '0.3.1',
      interfaces: [{ name: 'cali1234567890a' }],
      ips: [
        { version: '4', address: '10.77.3.7/32' },
        { version: '6', address: 'FD77:0:0:3::7/128' },
      ],
      dns: {},
    },
    ips: ['10.77.3.7', 'fd77:0:0:3::7'],
  },
  {
    title: "in Cilium's shape: gateway outside of the prefix, routes over it, both ends of the link",
    cniVersion: '0.4.0',
    result: {
      cniVersion: '0.4.0',
      interfaces: [
        { name: 'lxc0123456789ab', mac: '8a:00:00:00:00:01' },
        { name: 'eth0', mac: '8a:00:00:00:00:02', sandbox: SANDBOX },
      ],
      ips: [
        { version: '4', interface: 1, address: '10.77.4.8/32', gateway: '10.77.4.1' },
        { version: '6', interface: 1, address: 'fd77:4::8/128', gateway: 'fd77:4::1' },
      ],
      routes: [
        { dst: '10.77.4.1/32' },
        { dst: '0.0.0.0/0', gw: '10.77.4.1' },
        { dst: 'fd77:4::1/128' },
        { dst: '::/0', gw: 'fd77:4::1' },
      ],
      dns: {},
    },
    ips: ['10.77.4.8', 'fd77:4::8'],
  },
  {
    title: "in AWS's shape: a third interface that stands for a number, link-local gateway",
    cniVersion: '1.0.0',
    result: {
      cniVersion: '1.0.0',
      interfaces: [
        { name: 'eni0123456789a' },
        { name: 'eth0', sandbox: SANDBOX },
        { name: 'dummy0123456789', mac: '0', sandbox: '0' },
      ],
      ips: [{ interface: 1, address: '10.77.5.9/32' }],
      routes: [{ dst: '169.254.1.1/32' }, { dst: '0.0.0.0/0', gw: '169.254.1.1' }],
      dns: null,
    },
    ips: ['10.77.5.9'],
  },
  {
    title: 'several addresses of a family, other interfaces, fields of 1.1.0',
    cniVersion: '1.1.0',
    result: {
      cniVersion: '1.1.0',
      interfaces: [
        { name: 'eth0', mac: '8a:00:00:00:00:03', mtu: 8950, sandbox: SANDBOX, socketPath: '', pciID: '' },
        { name: 'net1', sandbox: SANDBOX },
      ],
      ips: [
        { interface: 0, address: '10.77.6.10/24', gateway: '10.77.6.1' },
        { interface: 0, address: '10.77.6.11/24' },
        { interface: 1, address: '192.0.2.4/24' },
        { interface: 0, address: 'fd77:6::a/64' },
      ],
      routes: [
        { dst: '169.254.1.1/32', scope: 253, table: 100, priority: 10, mtu: 1400, advmss: 1360 },
        { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      ],
      dns: {
        nameservers: ['10.0.0.10'],
        domain: 'cluster.local',
        search: ['svc.cluster.local'],
        options: [],
      },
    },
    ips: ['10.77.6.10', '10.77.6.11', 'fd77:6::a'],
  },
  {
    title: 'nulls, and a result without a version',
    cniVersion: '1.0.0',
    result: {
      interfaces: null,
      ips: [{ address: '10.77.7.2/16', interface: null }],
      routes: null,
      dns: null,
    },
    ips: ['10.77.7.2'],
  },
];

const shapeRows = shapes.map(({ title, cniVersion, result, ips }): OwnRow => ({
  title: `a result: ${title} (${cniVersion})`,
  play: async () =>
    await withPlugin(
      cniVersion,
      (directory) =>
        `cat > '${directory}/stdin.'"$CNI_COMMAND"; if [ "$CNI_COMMAND" = ADD ]; then ${answer(result)}; fi`,
      async (world) => {
        const pod = await world.start('shaped');
        same('addresses', pod.ips.join(), ips.join());
        await world.instance.kill();
        await world.instance.start();
        same('addresses after a kill', (await world.describe(pod.id)).ips.join(), ips.join());
        await world.remove(pod.id);
        const del = JSON.parse(await readFile(join(world.directory, 'stdin.DEL'), 'utf8')) as object;
        // DEL gets it from version 0.4.0 of the spec on
        const wanted = cniVersion !== '0.3.1';
        if ('prevResult' in del !== wanted)
          throw new Error(wanted ? 'DEL had no result of ADD' : 'DEL had a result that its version has not');
        same('files', (await world.files()).join(), '');
        return `${ips.length} ${ips.length === 1 ? 'address' : 'addresses'}, the same after a kill; DEL ${wanted ? 'got the result' : 'got none, as before 0.4.0'}`;
      },
    ),
}));

/** Seconds until the slow network answers: minutes, below what the daemon gives ADD (`networkAddMs`). */
const SLOW_SECONDS = 150;

const slow: OwnRow = {
  title: 'an SDN that answers ADD after two and a half minutes',
  play: async () =>
    await withPlugin(
      '1.0.0',
      (directory) =>
        `input=$(cat); case $CNI_COMMAND in ADD) : > '${directory}/given/'"$CNI_CONTAINERID"; sleep ${SLOW_SECONDS}; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.77.8.2/24"}]}' ;; DEL) rm -f '${directory}/given/'"$CNI_CONTAINERID" ;; esac`,
      async (world) => {
        const startedAt = performance.now();
        // a kubelet gives up after two minutes of its own and asks again: the second call joins the first
        const early = world.start('slow').catch(() => undefined);
        const pod = await world.start('slow');
        const seconds = (performance.now() - startedAt) / 1000;
        same('the other call', (await early)?.id, pod.id);
        same('address', pod.ips.join(), '10.77.8.2');
        await world.remove(pod.id);
        same('files', (await world.files()).join(), '');
        return `two calls joined, one pod after ${seconds.toFixed(0)} s, nothing left`;
      },
    ),
};

const DEAD = '{"code":11,"msg":"dial unix /run/sdn.sock: connect: connection refused"}';

const dead: OwnRow = {
  title: 'an SDN whose daemon dies: ADD fails, DEL fails for a while (1.1.0)',
  play: async () =>
    await withPlugin(
      '1.1.0',
      (directory) =>
        [
          'input=$(cat)',
          `if [ -e '${directory}/dead' ]; then echo "$CNI_COMMAND" >> '${directory}/refused'; echo '${DEAD}'; exit 1; fi`,
          `case $CNI_COMMAND in ADD) : > '${directory}/given/'"$CNI_CONTAINERID"; echo '{"cniVersion":"1.1.0","ips":[{"address":"10.77.9.2/24"}]}' ;; DEL) rm -f '${directory}/given/'"$CNI_CONTAINERID" ;; esac`,
        ].join('\n'),
      playDead,
    ),
};

/** The network's daemon dies while a pod is there; the pod is stopped meanwhile, and a new one is asked for. */
async function playDead(world: NetWorld): Promise<string> {
  const { client, directory } = world;
  const pod = await world.start('outlives');
  await writeFile(join(directory, 'dead'), '');
  await untilFound({ what: 'NetworkReady false by STATUS', withinMs: EVENT_MS }, async () => {
    const { status } = await client.runtime.status({});
    const ready = status?.conditions.find(({ type }) => type === 'NetworkReady');
    return (
      ready?.status === false && ready.message.includes('CNI STATUS in network sdn-net: plugin sdn: error 11')
    );
  });
  const refusal = await failureOf(world.start('refused'));
  if (!/not ready|STATUS|ADD/u.test(refusal)) throw new Error(`ADD: ${refusal}`);
  const stop = await failureOf(client.runtime.stopPodSandbox({ podSandboxId: pod.id }));
  if (!stop.includes('CNI DEL') || !stop.includes('connection refused')) throw new Error(`DEL: ${stop}`);
  const inspected = await world.instance.crictl(['inspectp', pod.id]);
  if (!inspected.stdout.includes('SANDBOX_NOTREADY')) throw new Error(inspected.stdout.slice(0, 400));
  await world.instance.kill();
  await world.instance.start();
  const again = await failureOf(client.runtime.stopPodSandbox({ podSandboxId: pod.id }));
  if (!again.includes('connection refused')) throw new Error(`DEL after a kill: ${again}`);
  await rm(join(directory, 'dead'));
  await untilFound({ what: 'DEL once the daemon is back', withinMs: EVENT_MS }, async () => {
    await world.remove(pod.id);
    return true;
  });
  await world.untilReady();
  const next = await world.start('refused');
  await world.remove(next.id);
  same('files', (await world.files()).join(), '');
  const tries = (await readFile(join(directory, 'refused'), 'utf8'))
    .split('\n')
    .filter((one) => one === 'DEL');
  return `NetworkReady false with the reason; ADD refused; DEL failed ${tries.length} times with its reason, over a kill too, and was retried until it succeeded; the next pod joins`;
}

async function failureOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('the call succeeded');
}

export const fabricatedRows: readonly OwnRow[] = [...shapeRows, dead, slow];
