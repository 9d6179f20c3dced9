// CNI GC and STATUS through a whole daemon, which runs GC ten minutes after its start: the wait is real.
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { checkout } from '../../support/tools/cache.ts';
import { REFERENCE_VERSION, referencePlugins } from '../../support/tools/cni-tools.ts';
import { same, untilFound } from '../support/parts.ts';
import type { OwnRow } from './fabricated.ts';
import { makeNetWorld, type NetWorld, type Pod } from './net-world.ts';
import { reaches, serveIn } from './proof.ts';
import { bridge, portmap } from './reference.ts';

interface Call {
  readonly command: string;
  readonly request: {
    readonly cniVersion: string;
    readonly name: string;
    readonly 'cni.dev/valid-attachments'?: readonly {
      readonly containerID: string;
      readonly ifname: string;
    }[];
  };
}

const STALE = `${'5'.repeat(64)}-eth0`;

/** A daemon with a pod, and with a reservation of a pod that nobody knows. */
async function play(): Promise<string> {
  const world = await makeNetWorld({
    pluginDirs: [await referencePlugins()],
    gated: ['bridge', 'portmap'],
    reservations: ['kept', 'leases'],
  });
  try {
    const { directory } = world;
    await writeKeeper(directory);
    await mkdir(join(directory, 'kept'));
    await writeFile(join(directory, 'kept', STALE), '');
    await world.configure({
      cniVersion: '1.1.0',
      name: 'collected',
      plugins: [
        bridge(directory, ['10.77.0.0/24']),
        portmap,
        { type: 'keeper', kept: join(directory, 'kept'), calls: join(directory, 'calls') },
      ],
    });
    await world.instance.start();
    await world.untilReady();
    return await proveCollected(world, await world.start('live'));
  } finally {
    await world.close();
  }
}

export const collectionRow: OwnRow = {
  title: `GC and STATUS through bridge, portmap ${REFERENCE_VERSION} and a plugin of ours (1.1.0)`,
  play,
};

async function writeKeeper(directory: string): Promise<void> {
  const path = join(directory, 'plugins/keeper');
  await writeFile(
    path,
    `#!/bin/sh\nexec '${process.execPath}' '${join(checkout, 'test/e2e/networks/keeper.ts')}'\n`,
  );
  await chmod(path, 0o755);
}

async function proveCollected(world: NetWorld, pod: Pod): Promise<string> {
  await untilFound(
    { what: 'a line about GC in the log', withinMs: actorLimits.networkGcPollMs + EVENT_MS },
    async () => (await world.instance.log()).includes('CNI GC: stale network resources removed'),
  );
  const calls = (await readFile(join(world.directory, 'calls'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Call);
  const collections = calls.filter(({ command }) => command === 'GC');
  same('calls of GC', collections.length, 1);
  const valid = collections[0]?.request['cni.dev/valid-attachments'] ?? [];
  same('valid attachments', JSON.stringify(valid), JSON.stringify([{ containerID: pod.id, ifname: 'eth0' }]));
  same('what is kept', (await readdir(join(world.directory, 'kept'))).join(), `${pod.id}-eth0`);
  const statuses = calls.filter(({ command }) => command === 'STATUS').length;
  if (statuses < 2) throw new Error(`${statuses} calls of STATUS`);
  const checks = calls.filter(({ command }) => command === 'CHECK').length;
  same('calls of CHECK', checks, 0);
  const server = await serveIn(pod);
  try {
    await reaches([`--net=${world.machine.netns}`], pod.ips[0] ?? '', 8080);
  } finally {
    server.kill('SIGKILL');
  }
  const next = await world.start('next');
  for (const one of [pod, next]) await world.remove(one.id);
  same('files', (await world.files()).join(), '');
  return `one GC ten minutes after the start, with the one pod as valid: the stale reservation went, the pod's stayed, it is still reached, the next pod starts; ${statuses} STATUS; bridge and portmap ${REFERENCE_VERSION} took both`;
}
