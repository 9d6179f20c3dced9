// The run itself, in the namespaces that main.ts made: registry, instance, suite, report.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { recordSkips } from '../../../scripts/support/skips.ts';
import { differencesWhenSettled, type Machine, snapshotMachine } from '../../support/baseline.ts';
import { pushImages, startRegistry } from '../../support/docker-registry/start.ts';
import { critestRegistriesConf } from '../../support/images/critest-images.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { runOrThrow } from '../../support/run.ts';
import { sweepMachine } from '../../support/sweep.ts';
import { skippedIn, totals } from '../critest/report.ts';
import { hierarchies, removeCgroups } from '../kubelet/kubelet.ts';
import { nodeImages } from './images.ts';
import { type Missing, missing } from './missing.ts';
import { assertPrivate, killNamespace, privateNetwork, privatePlaces } from './places.ts';
import { buildPrograms, type Programs } from './programs.ts';
import { type Asked, figuresOf, nodeSpecs } from './report.ts';
import { runSuite, type Selection } from './suite.ts';

/** What upstream's own job for node conformance runs. */
const CONFORMANCE = {
  focus: String.raw`\[NodeConformance\]`,
  skip: String.raw`\[Serial\]|\[Flaky\]|\[Slow\]`,
} as const;

const { values: options } = parseArgs({
  options: {
    focus: { type: 'string' },
    skip: { type: 'string' },
    // most specs wait most of the time
    procs: { type: 'string', default: '16' },
    gates: { type: 'string' },
    // of the suite's sources, such as pod_resize.go
    files: { type: 'string' },
    minutes: { type: 'string', default: '90' },
    report: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

const asked: Asked = {
  focus: options.focus ?? (options.files === undefined ? CONFORMANCE.focus : '.'),
  skip: options.skip ?? CONFORMANCE.skip,
  files: (options.files ?? '').split(',').filter((name) => name !== ''),
};

/** What was asked for, less what can't be run here. */
const selectionOf = (lacks: readonly Missing[]): Selection => ({
  focus: asked.focus,
  skip: [asked.skip, ...lacks.map(({ specs }) => specs.source)].filter((part) => part !== '').join('|'),
  files: asked.files,
  processes: Number(options.procs),
  timeoutMs: Number(options.minutes) * 60_000,
  featureGates: Object.fromEntries(
    (options.gates ?? '')
      .split(',')
      .filter((gate) => gate !== '')
      .map((gate) => [gate.split('=')[0] ?? '', !gate.endsWith('=false')]),
  ),
});

/**
 * The suite's image hosts go to our registry; agnhost's fake registry in a pod speaks plain HTTP on the node's
 * loopback.
 */
const registriesConf = (address: string): string =>
  `${critestRegistriesConf(address)}\n[[registry]]\nlocation = "localhost:5000"\ninsecure = true\n`;

/** Cgroups of the suite's kubelet, which are fixed. */
const CGROUPS = ['kubepods', 'kubelet.slice'] as const;

/**
 * How a process of this kubelet's pods is known in /proc/pid/cgroup: other kubelets of tests have roots of their own.
 */
const KUBELET_PROCESSES = ':/kubepods/';

/** The words by which snapshots of the machine find the node's things. */
const wordsOf = async (instance: Instance): Promise<string[]> => [
  ...instance.words,
  ' /kubepods/',
  ...(await hierarchies()).flatMap((hierarchy) => CGROUPS.map((name) => `/${basename(hierarchy)}/${name}`)),
];

async function removeKubeletCgroups(): Promise<void> {
  for (const hierarchy of await hierarchies())
    for (const name of CGROUPS) await removeCgroups(join(hierarchy, name));
}

/** Pods and images that specs left, removed as a client would; then what is still there. */
async function leftOvers(instance: Instance, before: Machine): Promise<string[]> {
  await instance.crictl(['rmp', '--all', '--force']);
  await instance.crictl(['rmi', '--all']);
  await instance.terminate();
  await removeKubeletCgroups();
  const left = await differencesWhenSettled(before, await wordsOf(instance));
  return left.filter(
    (line) => !/^\+ links: tr\w+$/.test(line) && !/^\+ processes: \S+ \(zombie\)/.test(line),
  );
}

async function validate(instance: Instance, programs: Programs): Promise<void> {
  const before = await snapshotMachine(await wordsOf(instance));
  await instance.start();
  const lacks = await missing();
  const { report, seconds } = await runSuite(programs, instance, instance.directory, selectionOf(lacks));
  if (options.report !== undefined) await writeFile(options.report, report);
  const left = await leftOvers(instance, before);
  const specs = nodeSpecs(report, asked, lacks);
  for (const spec of specs)
    console.log(
      `${spec.state}: ${spec.name} (${spec.seconds.toFixed(1)} s)${spec.reason === '' ? '' : `\n    ${spec.reason}`}`,
    );
  console.log(`\nnode e2e: ${totals(specs)} in ${seconds.toFixed(0)} s`);
  for (const line of left) console.log(`left on the machine: ${line}`);
  const isWhole = options.focus === undefined && options.skip === undefined;
  if (isWhole) {
    const remark =
      left.length === 0
        ? 'Nothing was left on the machine.'
        : `${left.length} things were left on the machine.`;
    const runc = (await runOrThrow([programs.runc, '--version'])).split('\n')[0]?.trim() ?? '';
    const { files } = options;
    const name = files === undefined ? 'node e2e' : 'node e2e, features';
    const what = files === undefined ? 'NodeConformance' : 'other specs';
    const command = files === undefined ? '' : `\`sudo npm run node-e2e -- --files ${files}\`\n\n`;
    writeFigures(
      name,
      `Node e2e suite of Kubernetes v1.36.3, ${what}, ${runc}`,
      `${command}${figuresOf(specs, seconds, remark)}`,
    );
    recordSkips(name, specs.length, skippedIn(specs));
  }
  if (specs.length === 0 || specs.some((spec) => spec.state === 'failed') || left.length > 0)
    process.exitCode = 1;
}

async function main(): Promise<void> {
  assertPrivate();
  const programs = await buildPrograms();
  const directory = await mkdtemp(join(tmpdir(), 'troupe-node-e2e-'));
  const undo: (() => Promise<void>)[] = [
    async () => {
      await sweepMachine([directory]);
      await rm(directory, { recursive: true, force: true });
    },
  ];
  const undoAll = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  // An interrupt ends the suite, and with it `validate`: whoever comes second waits for the first.
  let cleaned: Promise<void> | undefined;
  const cleanUp = async (): Promise<void> => await (cleaned ??= undoAll());
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  try {
    await mkdir(join(directory, 'registry'));
    await privatePlaces(directory);
    await privateNetwork();
    const registry = await startRegistry({ root: join(directory, 'registry') });
    undo.push(registry.stop);
    await pushImages(registry.address, await nodeImages(programs));
    const instance = await makeInstance({
      name: 'node',
      registriesConf: registriesConf(registry.address),
      runtimePath: programs.runc,
      // the handler that the suite's RuntimeClass specs expect to be configured
      handlers: { 'test-handler': programs.runc },
    });
    undo.push(async () => {
      if (!options.keep) return await instance.remove();
      console.log(`kept for inspection: ${instance.directory}`);
      await instance.terminate();
    });
    // An interrupted suite goes on making pods.
    undo.push(async () => {
      await killNamespace();
      await sweepMachine([KUBELET_PROCESSES]);
      await removeKubeletCgroups();
    });
    await validate(instance, programs);
  } finally {
    await cleanUp();
  }
}

await main();
