// `sudo npm run cluster [-- --only WORDS --keep]`: etcd, API server, controller manager, scheduler and kubelet on this
// machine, and what people do with them. Prints a table and, after a whole run, writes it into docs/figures.md.
// Building the programs takes many minutes, once.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { recordSkips } from '../../../scripts/support/skips.ts';
import { kubernetes } from '../../support/tools/kubernetes.ts';
import { keepHost } from '../kubelet/host.ts';
import { type Kubelet, startKubelet } from '../kubelet/kubelet.ts';
import { skippedIn, tableText, totals } from '../kubelet/report.ts';
import { playPart, type Row } from '../support/parts.ts';
import { makeWorld } from '../support/world.ts';
import { buildPrograms, type ControlPlane, startControlPlane } from './control-plane.ts';
import { scenarios } from './scenarios.ts';

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, keep: { type: 'boolean', default: false } },
});

async function main(): Promise<void> {
  const programs = await buildPrograms();
  const kubeletProgram = await kubernetes('kubelet');
  const restore = keepHost();
  process.once('exit', restore);
  const world = await makeWorld({ name: 'clus' });
  let plane: ControlPlane | undefined;
  let kubelet: Kubelet | undefined;
  const close = async (): Promise<void> => {
    await kubelet?.stop();
    await plane?.stop();
    await world.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  const rows: Row[] = [];
  try {
    plane = await startControlPlane(
      programs,
      join(world.instance.directory, 'control-plane'),
      world.instance.socket,
    );
    kubelet = await startKubelet(kubeletProgram, world, plane.node);
    const cluster = { plane, world };
    const [ready, ...rest] = scenarios;
    const chosen = rest.filter(
      ({ title }) =>
        title.includes(options.only ?? '') || title === 'a pod' || title.startsWith('everything'),
    );
    for (const { title, play } of ready === undefined ? chosen : [ready, ...chosen])
      await playPart(rows, title, async () => await play(cluster));
    await playPart(rows, 'the machine is as before', async () => {
      await kubelet?.stop();
      await plane?.stop();
      const changed = restore();
      const left = await world.leftovers();
      if (left.length > 0) throw new Error(left.join('; '));
      return `sysctls put back: ${changed.join(', ') || 'none was changed'}`;
    });
    const text = tableText(rows);
    console.log(`\n${text}\n\ncluster: ${totals(rows)}`);
    if (options.only === undefined) {
      writeFigures('cluster', 'Cluster, Kubernetes v1.36.3', text);
      recordSkips('cluster', rows.length, skippedIn(rows));
    }
    if (rows.some(({ state }) => state === 'failed')) process.exitCode = 1;
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    if (options.keep) {
      console.log(`kept for inspection: ${world.instance.directory}`);
      process.exit();
    }
    await close();
  }
}

if (process.getuid?.() === 0) await main();
else {
  console.error('A cluster makes pods, so it needs root: sudo npm run cluster');
  process.exitCode = 1;
}
