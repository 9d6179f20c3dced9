// The run itself, in the namespaces that main.ts made: registry, instance, suite, report.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { differencesWhenSettled, type Machine, snapshotMachine } from '../../support/baseline.ts';
import { pushImages, startRegistry } from '../../support/docker-registry/start.ts';
import { critestRegistriesConf } from '../../support/images/critest-images.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { runOrThrow } from '../../support/run.ts';
import { totals } from '../critest/report.ts';
import { hierarchies, removeCgroups } from '../kubelet/kubelet.ts';
import { nodeImages, WITHOUT_IMAGE } from './images.ts';
import { privateNetwork, privatePlaces } from './places.ts';
import { buildPrograms, type Programs } from './programs.ts';
import { figuresOf, nodeSpecs } from './report.ts';
import { runSuite, type Selection } from './suite.ts';

/** What upstream's own job for node conformance runs. */
const CONFORMANCE = { focus: String.raw`\[NodeConformance\]`, skip: String.raw`\[Serial\]|\[Flaky\]` } as const;
const CLEAN_WITHIN_MS = 20_000;

const { values: options } = parseArgs({
  options: {
    focus: { type: 'string' },
    skip: { type: 'string' },
    procs: { type: 'string', default: '4' },
    gates: { type: 'string', default: '' },
    minutes: { type: 'string', default: '90' },
    report: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

const selection: Selection = {
  focus: options.focus ?? CONFORMANCE.focus,
  skip: [options.skip ?? CONFORMANCE.skip, ...WITHOUT_IMAGE.map(({ specs }) => specs.source)].join('|'),
  processes: Number(options.procs),
  timeoutMs: Number(options.minutes) * 60_000,
  featureGates: Object.fromEntries(options.gates.split(',').filter((gate) => gate !== '').map((gate) => [gate.split('=')[0] ?? '', gate.endsWith('=true') || !gate.includes('=')])),
};

/** The suite's image hosts go to our registry; agnhost's fake registry in a pod speaks plain HTTP on the node's loopback. */
const registriesConf = (address: string): string => `${critestRegistriesConf(address)}\n[[registry]]\nlocation = "localhost:5000"\ninsecure = true\n`;

/** Cgroups of the suite's kubelet, which are fixed. */
const CGROUPS = ['kubepods', 'kubelet.slice'] as const;

/** Pods and images that specs left, removed as a client would; then what is still there. */
async function leftOvers(instance: Instance, before: Machine): Promise<string[]> {
  await instance.crictl(['rmp', '--all', '--force']);
  await instance.crictl(['rmi', '--all']);
  await instance.terminate();
  for (const hierarchy of await hierarchies()) for (const name of CGROUPS) await removeCgroups(join(hierarchy, name));
  const left = await differencesWhenSettled(before, CLEAN_WITHIN_MS, [...instance.words, 'kubepods', '/kubelet.slice']);
  return left.filter((line) => !/^\+ links: tr\w+$/.test(line) && !/^\+ processes: \S+ \(zombie\)/.test(line));
}

async function validate(instance: Instance, programs: Programs): Promise<void> {
  const before = await snapshotMachine([...instance.words, 'kubepods', '/kubelet.slice']);
  await instance.start();
  const { report, seconds } = await runSuite(programs, instance, instance.directory, selection);
  if (options.report !== undefined) await writeFile(options.report, report);
  const left = await leftOvers(instance, before);
  const specs = nodeSpecs(report, new RegExp(selection.focus), options.skip ?? CONFORMANCE.skip);
  for (const spec of specs) console.log(`${spec.state}: ${spec.name} (${spec.seconds.toFixed(1)} s)${spec.reason === '' ? '' : `\n    ${spec.reason}`}`);
  console.log(`\nnode e2e: ${totals(specs)} in ${seconds.toFixed(0)} s`);
  for (const line of left) console.log(`left on the machine: ${line}`);
  if (options.focus === undefined && options.skip === undefined) {
    const remark = left.length === 0 ? 'Nothing was left on the machine.' : `${left.length} things were left on the machine.`;
    const runc = (await runOrThrow([programs.runc, '--version'])).split('\n')[0]?.trim() ?? '';
    writeFigures('node e2e', `Node e2e suite of Kubernetes v1.36.3, NodeConformance, ${runc}`, figuresOf(specs, seconds, remark));
  }
  if (specs.length === 0 || specs.some((spec) => spec.state === 'failed') || left.length > 0) process.exitCode = 1;
}

async function main(): Promise<void> {
  const programs = await buildPrograms();
  const directory = await mkdtemp(join(tmpdir(), 'troupe-node-e2e-'));
  const undo: (() => Promise<void>)[] = [async () => await rm(directory, { recursive: true, force: true, maxRetries: 3 })];
  const cleanUp = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  try {
    await mkdir(join(directory, 'registry'));
    await privatePlaces(directory);
    await privateNetwork();
    const registry = await startRegistry({ root: join(directory, 'registry') });
    undo.push(registry.stop);
    await pushImages(registry.address, await nodeImages(programs));
    const instance = await makeInstance({
      name: 'node', registriesConf: registriesConf(registry.address), runtimePath: programs.runc,
      // the handler that the suite's RuntimeClass specs expect to be configured
      handlers: { 'test-handler': programs.runc },
    });
    undo.push(async () => {
      if (!options.keep) return await instance.remove();
      console.log(`kept for a look: ${instance.directory}`);
      await instance.terminate();
    });
    await validate(instance, programs);
  } finally {
    await cleanUp();
  }
}

await main();
