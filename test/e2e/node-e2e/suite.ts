// How the suite is run: its flags, the base configuration of its kubelet, its environment.
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Instance } from '../../support/instance.ts';
import { run } from '../../support/run.ts';
import { NODE_ADDRESS } from './places.ts';
import type { Programs } from './programs.ts';
import { stopUnits, writeUnitTools } from './units.ts';

/** Beyond ginkgo's own timeout, for its clean-up and report. */
const GRACE_MS = 5 * 60_000;

export interface Selection {
  readonly focus: string;
  readonly skip: string;
  /** Only specs of these source files; all without one. */
  readonly files: readonly string[];
  readonly processes: number;
  readonly timeoutMs: number;
  /** Feature gates of the kubelet and, where they have any there, of the API server. */
  readonly featureGates: Readonly<Record<string, boolean>>;
}

/** kubelet.config.k8s.io/v1beta1: upstream's for this suite (test/e2e_node/jenkins), then what this machine needs. */
const kubeletConfig = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  cgroupDriver: 'cgroupfs',
  cgroupRoot: '/',
  podCIDR: '10.100.0.0/24',
  volumeStatsAggPeriod: '10s',
  fileCheckFrequency: '10s',
  evictionPressureTransitionPeriod: '30s',
  serializeImagePulls: false,
  // The disk is the machine's, which others fill; upstream's thresholds of it are percentages.
  evictionHard: {
    'memory.available': '250Mi',
    'nodefs.available': '1Gi',
    'imagefs.available': '1Gi',
    'nodefs.inodesFree': '1%',
  },
  imageGCHighThresholdPercent: 100,
  // The machine may be on cgroup v1 and swap.
  failCgroupV1: false,
  failSwapOn: false,
  makeIPTablesUtilChains: false,
};

/** cAdvisor knows containerd's and CRI-O's sockets only: statistics of containers come by CRI. */
const OUR_GATES = { PodAndContainerStatsFromCRI: true };

export interface Ran {
  /** Text of ginkgo's JSON report. */
  readonly report: string;
  readonly seconds: number;
}

interface Places {
  readonly work: string;
  readonly reports: string;
  readonly temporary: string;
  /** ginkgo runs a suite in its directory, and this one writes there. */
  readonly suite: string;
  readonly programs: string;
  readonly config: string;
}

async function makePlaces(programs: Programs, work: string): Promise<Places> {
  const inWork = (name: string): string => join(work, name);
  const places: Places = {
    work,
    reports: inWork('reports'),
    temporary: inWork('tmp'),
    suite: inWork('e2e_node.test'),
    programs: inWork('programs'),
    config: inWork('base-kubelet.yaml'),
  };
  await mkdir(places.reports, { recursive: true });
  await mkdir(places.temporary, { mode: 0o1777 });
  await symlink(programs.suite, places.suite);
  await mkdir(places.programs);
  await symlink(programs.kubelet, join(places.programs, 'kubelet'));
  // JSON is YAML.
  await writeFile(places.config, JSON.stringify(kubeletConfig));
  return places;
}

function argvOf(
  ginkgo: string,
  { endpoint }: Instance,
  places: Places,
  selection: Selection,
): readonly [string, ...string[]] {
  const gates = Object.entries({ ...OUR_GATES, ...selection.featureGates })
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
  return [
    ginkgo,
    'run',
    '--no-color',
    '--procs',
    String(selection.processes),
    '--timeout',
    `${selection.timeoutMs / 1000}s`,
    '--json-report',
    'report.json',
    '--output-dir',
    places.reports,
    '--focus',
    selection.focus,
    '--silence-skips',
    ...selection.files.flatMap((name) => ['--focus-file', name]),
    ...(selection.skip === '' ? [] : ['--skip', selection.skip]),
    places.suite,
    '--',
    '--container-runtime-endpoint',
    endpoint,
    '--image-service-endpoint',
    endpoint,
    '--container-runtime-process-name',
    'troupe',
    '--container-runtime-pid-file',
    '',
    '--k8s-bin-dir',
    places.programs,
    '--kubelet-config-file',
    places.config,
    '--report-dir',
    places.reports,
    '--kubelet-flags',
    `--node-ip=${NODE_ADDRESS}`,
    '--feature-gates',
    gates,
    '--prepull-images=false',
    '--dump-logs-on-failure=true',
    '--server-start-timeout=5m',
  ];
}

/**
 * Runs the suite below `directory`. Its kubelet runs as a unit of units.ts.
 * @throws when it left no report, as it does when its set-up fails
 */
export async function runSuite(
  programs: Programs,
  instance: Instance,
  directory: string,
  selection: Selection,
): Promise<Ran> {
  const places = await makePlaces(programs, join(directory, 'suite'));
  const { work, reports, temporary } = places;
  const tools = await writeUnitTools(directory);
  const argv = argvOf(programs.ginkgo, instance, places, selection);
  const startedAt = performance.now();
  try {
    const ended = await run(argv, {
      cwd: work,
      // built without cgo, it asks the environment who runs it
      env: { USER: 'root', TMPDIR: temporary, PATH: `${tools}:${process.env['PATH'] ?? ''}` },
      timeoutMs: selection.timeoutMs + GRACE_MS,
      onOutput: (chunk) => process.stdout.write(chunk),
    });
    const report = await readFile(join(reports, 'report.json'), 'utf8').catch(() => undefined);
    if (report === undefined) throw new Error(`the suite ended with ${ended.code} and wrote no report`);
    return { report, seconds: (performance.now() - startedAt) / 1000 };
  } finally {
    await stopUnits(directory);
  }
}
