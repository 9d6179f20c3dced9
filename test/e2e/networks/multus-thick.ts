// Multus' thick plugin: a shim, its daemon in mounts of its own as in a container, and an API server that knows a
// second network.
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EVENT_MS } from '../../support/patience.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { multus, MULTUS_VERSION, referencePlugins } from '../../support/tools/cni-tools.ts';
import { untilFound } from '../support/parts.ts';
import type { NetWorld } from './net-world.ts';
import type { NetworkCase } from './proof.ts';
import { bridge, BRIDGE_STAYS, IS_V4, portmap } from './reference.ts';

const API_PORT = 6443;

async function prepare(world: NetWorld): Promise<void> {
  const { machine, directory } = world;
  const at = (name: string): string => join(directory, name);
  await mkdir(at('account'));
  await runOrThrow([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', at('api.key'), '-out', at('account/ca.crt')],
  ]);
  await writeFile(at('account/token'), 'token');
  await writeFile(
    at('second.json'),
    JSON.stringify({
      cniVersion: '1.0.0',
      name: 'second',
      type: 'bridge',
      bridge: 'br1',
      ipam: { type: 'host-local', dataDir: at('leases'), subnet: '10.78.0.0/24' },
    }),
  );
  machine.serve(
    [
      process.execPath,
      join(checkout, 'test/e2e/networks/api-server.ts'),
      ...[String(API_PORT), at('api.key'), at('account/ca.crt'), at('second.json')],
    ],
    at('api.log'),
  );
  await startDaemon(world);
}

/** The daemon sees the pods' namespaces by mount propagation only, and finds its account where a pod has it. */
async function startDaemon({ machine, directory }: NetWorld): Promise<void> {
  const netns = join(directory, 'netns');
  await mkdir(netns);
  await runOrThrow(['mount', '--bind', netns, netns]);
  await runOrThrow(['mount', '--make-shared', netns]);
  const config = join(directory, 'multus-daemon.json');
  const socketDir = join(directory, 'multus-run');
  // it runs only as long as it makes a conflist from another network's, so it does that where nobody reads
  const cniConfigDir = join(directory, 'multus-net.d');
  await mkdir(cniConfigDir);
  await writeFile(
    join(cniConfigDir, 'primary.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'primary', plugins: [bridge(directory, ['10.77.0.0/24'])] }),
  );
  await writeFile(
    config,
    JSON.stringify({
      cniVersion: '1.0.0',
      socketDir,
      cniDir: join(directory, 'multus'),
      binDir: await referencePlugins(),
      multusConfigFile: 'auto',
      multusAutoconfigDir: cniConfigDir,
      cniConfigDir,
      logToStderr: true,
      logLevel: 'verbose',
    }),
  );
  const script =
    'mkdir -p /run/secrets/kubernetes.io/serviceaccount && mount --bind "$1" /run/secrets/kubernetes.io/serviceaccount && shift && exec "$@"';
  const log = join(directory, 'multus-daemon.log');
  machine.serve(
    [
      ...['unshare', '--mount', '--propagation', 'slave', 'sh', '-c'],
      `mount -t tmpfs none /run && ${script}`,
      ...['sh', join(directory, 'account'), 'env', 'KUBERNETES_SERVICE_HOST=127.0.0.1'],
      ...[`KUBERNETES_SERVICE_PORT=${API_PORT}`, 'MULTUS_NODE_NAME=node'],
      ...[join(await multus(), 'multus-daemon'), '-config', config],
    ],
    log,
  );
  await untilFound(
    {
      what: 'the socket of the Multus daemon',
      withinMs: EVENT_MS,
      about: async () => (await readFile(log, 'utf8')).slice(-1500),
    },
    async () => await Promise.resolve(existsSync(join(socketDir, 'multus.sock'))),
  );
}

/** 1.0.0, not 1.1.0: of the newer commands, Multus' daemon refuses each that names no pod. */
export const multusThick: NetworkCase = {
  title: `Multus ${MULTUS_VERSION} thick: shim, daemon, a second network from an API (v1.9.1, 1.0.0)`,
  options: async () => ({
    pluginDirs: [await multus(), await referencePlugins()],
    reservations: ['leases', 'multus'],
  }),
  prepare,
  conflist: ({ directory }) => ({
    cniVersion: '1.0.0',
    name: 'multus-net',
    plugins: [
      {
        type: 'multus-shim',
        daemonSocketDir: join(directory, 'multus-run'),
        capabilities: { portMappings: true },
        delegates: [
          {
            cniVersion: '1.0.0',
            name: 'default-net',
            plugins: [bridge(directory, ['10.77.0.0/24']), portmap],
          },
        ],
      },
    ],
  }),
  ips: [IS_V4],
  pods: 2,
  hostPort: true,
  check: async (_world, pod) => {
    const { stdout } = await run(['nsenter', `--net=${pod.netns}`, '--', 'ip', '-o', 'addr', 'show', 'net1']);
    if (!/ 10\.78\.0\.\d+\/24/u.test(stdout)) throw new Error(`net1: ${stdout}`);
    return 'net1 of the second network';
  },
  stays: new RegExp(
    `${BRIDGE_STAYS.source}|^\\+ (?:link: br1$|address: br1 |route6?: .* dev br1 |queue: .* br1 )`,
    'u',
  ),
};
