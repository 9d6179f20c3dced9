// `sudo npm run critest [-- --focus REGEXP] [--skip REGEXP] [--runtime PATH | --handler FILE] [--websocket] [--report FILE] [--keep]`:
// the CRI validation suite against an instance of its own. Prints passed, failed, skipped and each reason, and writes
// them into docs/figures.md when all of it ran, or with `--websocket` all specs of streams and logs, whose streams are
// WebSockets then. Its images come from a loopback registry through a mirror rule, since their names are compiled in.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { recordSkips } from '../../../scripts/support/skips.ts';
import { type Machine, differencesWhenSettled, snapshotMachine } from '../../support/baseline.ts';
import { pushImages, startRegistry } from '../../support/docker-registry/start.ts';
import { critestImages, critestRegistriesConf, imageByDigest } from '../../support/images/critest-images.ts';
import { type Instance, isLeftByDesign, makeInstance } from '../../support/instance.ts';
import { patient } from '../../support/patience.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { critest, runc14 } from '../../support/tools/go-tools.ts';
import { figuresOf, skippedIn, type Spec, specsOf, totals } from './report.ts';

/** A whole run takes 90 s when all goes well; each spec that waits in vain adds a minute or more. */
const SUITE_TIMEOUT_MS = patient(25 * 60_000);
/** Beyond ginkgo's own timeout, for its clean-up and report. */
const SUITE_GRACE_MS = patient(2 * 60_000);

/** Of the specs that a transport makes a difference to, and what streams leave in logs. */
const STREAMS = 'Streaming|[Ll]og';

const { values: options } = parseArgs({
  options: {
    focus: { type: 'string' },
    skip: { type: 'string' },
    runtime: { type: 'string' },
    handler: { type: 'string' },
    keep: { type: 'boolean', default: false },
    report: { type: 'string' },
    websocket: { type: 'boolean', default: false },
  },
});

/** Runs the suite and answers its specs. Throws when it left no report, as it does when it can't reach the socket. */
async function runSuite(instance: Instance): Promise<Spec[]> {
  const report = join(instance.directory, 'report.json');
  const argv = [
    await critest(imageByDigest.manifest.digest),
    '-runtime-endpoint',
    instance.endpoint,
    '-image-endpoint',
    instance.endpoint,
    // The machine's own crictl.yaml must play no part.
    '-config',
    join(instance.directory, 'no-crictl.yaml'),
    '-ginkgo.no-color',
    '-ginkgo.timeout',
    `${SUITE_TIMEOUT_MS / 1000}s`,
    '-ginkgo.json-report',
    report,
  ];
  const focus = options.focus ?? (options.websocket ? STREAMS : undefined);
  if (focus !== undefined) argv.push('-ginkgo.focus', focus);
  if (options.websocket) argv.push('-websocket-exec', '-websocket-attach', '-websocket-portforward');
  if (options.skip !== undefined) argv.push('-ginkgo.skip', options.skip);
  // It leaves its log directories behind; this way they go with the instance's.
  const temporary = join(instance.directory, 'tmp');
  await mkdir(temporary, { mode: 0o1777 });
  const ended = await run(argv, {
    cwd: instance.directory,
    env: { TMPDIR: temporary },
    timeoutMs: SUITE_TIMEOUT_MS + SUITE_GRACE_MS,
    onOutput: (chunk) => process.stdout.write(chunk),
  });
  const text = await readFile(report, 'utf8').catch(() => undefined);
  if (text === undefined) throw new Error(`critest ended with ${ended.code} and wrote no report`);
  return specsOf(text);
}

function print(specs: readonly Spec[]): void {
  for (const state of ['skipped', 'failed'] as const) {
    for (const spec of specs.filter((one) => one.state === state))
      console.log(`${state.toUpperCase()}: ${spec.name}\n    ${spec.reason}`);
  }
  console.log(`\ncritest: ${totals(specs)}`);
}

/** Pods and images that specs left, removed as a client would; then what is still there. */
async function leftOvers(instance: Instance, before: Machine): Promise<string[]> {
  await instance.crictl(['rmp', '--all', '--force']);
  await instance.crictl(['rmi', '--all']);
  await instance.terminate();
  return await differencesWhenSettled(before, instance.words, isLeftByDesign);
}

/** Drives the suite, prints and writes what it came to. */
async function validate(instance: Instance, runtime: string): Promise<void> {
  const before = await snapshotMachine(instance.words);
  await instance.start();
  const startedAt = performance.now();
  const specs = await runSuite(instance);
  const seconds = (performance.now() - startedAt) / 1000;
  const left = await leftOvers(instance, before);
  print(specs);
  // for a program that runs this one, as that of the guest does
  if (options.report !== undefined) await writeFile(options.report, JSON.stringify(specs));
  for (const line of left) console.log(`left on the machine: ${line}`);
  const isWhole = options.focus === undefined && options.skip === undefined;
  if (isWhole && options.handler === undefined) {
    const remarks = [
      left.length === 0
        ? 'Nothing was left on the machine.'
        : `${left.length} things were left on the machine.`,
    ];
    // a block of its own for each runtime and version
    const how = options.websocket ? `${runtime}, streams over WebSocket` : runtime;
    writeFigures(`critest ${how}`, `critest v1.36.0, ${how}`, figuresOf(specs, seconds, remarks));
    recordSkips(`critest ${how}`, specs.length, skippedIn(specs));
  }
  if (specs.length === 0 || specs.some((spec) => spec.state === 'failed') || left.length > 0)
    process.exitCode = 1;
}

/** Such as `runc version 1.4.3`. */
const versionOf = async (runtimePath: string): Promise<string> =>
  (await runOrThrow([runtimePath, '--version'])).split('\n')[0]?.trim() ?? '';

async function main(): Promise<void> {
  const runtimePath = options.runtime ?? (await runc14());
  const handler = options.handler === undefined ? undefined : await readFile(options.handler, 'utf8');
  const images = await critestImages();
  const registryRoot = await mkdtemp(join(tmpdir(), 'troupe-critest-registry-'));
  const undo: (() => Promise<void>)[] = [
    async () => await rm(registryRoot, { recursive: true, force: true }),
  ];
  const cleanUp = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void cleanUp().finally(() => process.exit(130));
    });
  }
  try {
    const registry = await startRegistry({ root: registryRoot });
    undo.push(registry.stop);
    await pushImages(registry.address, images);
    const instance = await makeInstance({
      name: 'ctest',
      registriesConf: critestRegistriesConf(registry.address),
      runtimePath,
      ...(handler === undefined ? {} : { config: handler }),
    });
    undo.push(async () => {
      if (!options.keep) return await instance.remove();
      console.log(`kept for inspection: ${instance.directory}`);
      await instance.terminate();
    });
    await validate(instance, await versionOf(runtimePath));
  } finally {
    await cleanUp();
  }
}

if (process.getuid?.() === 0) await main();
else {
  console.error('critest makes pods, so it needs root: sudo npm run critest');
  process.exitCode = 1;
}
