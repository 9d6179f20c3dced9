// Flannel whole: etcd, a flanneld on each of two machines, vxlan between them, and its plugin.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EVENT_MS } from '../../support/patience.ts';
import {
  FLANNELD_VERSION,
  flanneld,
  flannelPlugin,
  referencePlugins,
} from '../../support/tools/cni-tools.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { etcd } from '../../support/tools/kubernetes.ts';
import { untilFound } from '../support/parts.ts';
import { flannelConflist } from './daemons.ts';
import type { Machine } from './machine.ts';
import { type NetWorld, SERVED_PORT } from './net-world.ts';
import { type NetworkCase, reaches, serveIn } from './proof.ts';
import { BRIDGE_STAYS, kernelHas } from './reference.ts';

const OWN = '10.79.0.1';
const OTHER = '10.79.0.2';
const ETCD = `http://${OWN}:2379`;
const CONFIG = { Network: '10.77.0.0/16', SubnetLen: 24, Backend: { Type: 'vxlan' } };

/** The other machine of each world, with the address in its subnet that the pods are to reach. */
const others = new WeakMap<object, { readonly machine: Machine; readonly address: string }>();

async function prepare(world: NetWorld): Promise<void> {
  const { machine, directory } = world;
  const other = await machine.neighbour('up0', 'lan0');
  await machine.exec('ip', 'addr', 'add', `${OWN}/24`, 'dev', 'up0');
  await other.exec('ip', 'addr', 'add', `${OTHER}/24`, 'dev', 'lan0');
  await startEtcd(world);
  const program = await flanneld();
  const start = async (on: Machine, link: string, file: string): Promise<string> => {
    const subnetFile = join(directory, file);
    on.serve(
      [program, `--etcd-endpoints=${ETCD}`, `--iface=${link}`, `--subnet-file=${subnetFile}`],
      join(directory, `${file}.log`),
    );
    await untilFound(
      {
        what: `${file} of flanneld`,
        withinMs: EVENT_MS,
        about: async () => (await readFile(join(directory, `${file}.log`), 'utf8')).slice(-1000),
      },
      async () => await Promise.resolve(existsSync(subnetFile)),
    );
    return /FLANNEL_SUBNET=(\S+)/u.exec(await readFile(subnetFile, 'utf8'))?.[1] ?? '';
  };
  await start(machine, 'up0', 'subnet.env');
  const subnet = await start(other, 'lan0', 'other.env');
  const address = subnet.replace(/\/.*$/u, '');
  await other.exec('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
  // each learns of the other's subnet from etcd
  for (const one of [machine, other]) {
    await untilFound({ what: 'a route over vxlan', withinMs: EVENT_MS }, async () =>
      (await one.exec('ip', 'route')).includes('dev flannel.1 onlink'),
    );
  }
  others.set(world.instance, { machine: other, address });
}

async function startEtcd({ machine, directory }: NetWorld): Promise<void> {
  const peer = `http://${OWN}:2380`;
  machine.serve(
    [
      await etcd(),
      ...['--data-dir', join(directory, 'etcd'), '--name', 'one', '--unsafe-no-fsync'],
      ...['--listen-client-urls', ETCD, '--advertise-client-urls', ETCD],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `one=${peer}`],
    ],
    join(directory, 'etcd.log'),
  );
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const body = JSON.stringify({
    key: base64('/coreos.com/network/config'),
    value: base64(JSON.stringify(CONFIG)),
  });
  await untilFound({ what: "flannel's configuration in etcd", withinMs: EVENT_MS }, async () => {
    const argv = [staticBusybox(), 'wget', '-q', '-O', '-', '--post-data', body, `${ETCD}/v3/kv/put`];
    return (await machine.exec(...argv)).includes('revision');
  });
}

export const flanneldNetwork: NetworkCase = {
  title: `flanneld ${FLANNELD_VERSION} with etcd and vxlan, two machines (v1.9.1, 0.3.1)`,
  needs: async () => await kernelHas('vxlan'),
  options: async () => ({
    pluginDirs: [await flannelPlugin(), await referencePlugins()],
    reservations: ['leases', 'flannel'],
  }),
  prepare,
  conflist: flannelConflist,
  ips: [/^10\.77\.\d+\.\d+$/u],
  pods: 2,
  hostPort: true,
  check: async ({ instance }, pod) => {
    const other = others.get(instance);
    if (other === undefined) throw new Error('no other machine');
    const server = await serveIn(other.machine);
    try {
      await reaches([`--net=${pod.netns}`], other.address, SERVED_PORT);
    } finally {
      server.kill('SIGKILL');
    }
    await reaches([`--net=${other.machine.netns}`], pod.ips[0] ?? '', SERVED_PORT);
    return 'over vxlan to the other machine and back';
  },
  stays: BRIDGE_STAYS,
};
