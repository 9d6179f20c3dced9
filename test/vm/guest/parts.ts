// What runs in a guest, part by part. Each part has a guest of its own, so that none finds the remains of another.
import { join } from 'node:path';
import { checkout } from '../../support/tools/cache.ts';
import { referencePlugins } from '../../support/tools/cni-tools.ts';
import { shimRuncV2 } from '../../support/tools/go-tools.ts';
import { kubernetes } from '../../support/tools/kubernetes.ts';
import { streamClient } from '../../support/tools/stream-client.ts';
import {
  GUEST_ARCHIVES,
  GUEST_CLUSTER,
  GUEST_PACKAGES,
  makeGuestArchives,
  makeGuestCluster,
  makeGuestPackages,
} from '../guest-packages.ts';
import type { World } from '../world.ts';

export interface Part {
  readonly name: string;
  /** Programs, one after the other, with a reboot between two. @param report where the last one's report belongs */
  readonly boots: readonly ((report: string) => readonly string[])[];
  /** Only in these worlds; in all without it. */
  readonly worlds?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Directories of the cache that it needs beside those of all parts. */
  readonly tools?: readonly string[];
  /** Builds them, where they may be missing. */
  readonly prepare?: () => Promise<unknown>;
  /** /proc/cpuinfo must have a clock speed, which user-mode Linux does not know. */
  readonly needsClockSpeed?: boolean;
  /** The daemon is installed as the service of deploy/. */
  readonly hasService?: boolean;
}

/** @param projects separated by commas */
const vitest =
  (projects: string, ...files: readonly string[]) =>
  (report: string): readonly string[] => [
    process.execPath,
    'node_modules/vitest/vitest.mjs',
    'run',
    ...projects.split(',').flatMap((project) => ['--project', project]),
    ...files,
    '--reporter=verbose',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];

/** A program of ours; without `report` in its arguments its last lines are counted. */
const program =
  (file: string, ...args: readonly string[]) =>
  (report: string): readonly string[] => [
    process.execPath,
    join(checkout, file),
    ...args.map((arg) => (arg === 'REPORT' ? report : arg)),
  ];

/** Mounts of the machine that it makes in systemd's namespace do not hide the checkout, which is below /opt. */
const inOwnMounts =
  (boot: Part['boots'][number]): Part['boots'][number] =>
  (report) => ['unshare', '--mount', '--propagation', 'private', ...boot(report)];

const RUNC = '/usr/sbin/runc';
const CRUN = '/usr/bin/crun';
const critest = program('test/e2e/critest/main.ts', '--runtime', RUNC, '--report', 'REPORT');
/** What calls the kernel by src/host/ffi. Not the helpers' tests: their scan has 2 s, the thread's start included. */
const KERNEL_TESTS = [
  ...['files', 'mounts', 'namespaces', 'process', 'process-owner', 'sandbox-files', 'userns', 'watch'].map(
    (name) => `test/integration/host/${name}.test.ts`,
  ),
  ...['pause', 'runc', 'namespaces'].map((name) => `test/integration/bundle/${name}.test.ts`),
];
/** Read by test/support/instance.ts, which has the driver `cgroupfs` otherwise. */
const systemd = { TROUPE_TEST_CGROUP_DRIVER: 'systemd' };

/** With what the machine's tests load a pod with. */
const statistics = {
  boots: [vitest('vm,e2e', 'test/vm/guest/statistics.test.ts', 'test/e2e/stats/stats.test.ts')],
};
const kubelet = {
  boots: [program('test/e2e/kubelet/main.ts', '--kills', '5')],
  tools: ['tools/kubelet'],
  prepare: async () => await kubernetes('kubelet'),
  // its cAdvisor does not start otherwise
  needsClockSpeed: true,
};
/** Of the projects that run on the machine as well; what is not in the cache is skipped with its reason. */
const TOOLS = ['nri-plugin', 'image-policy', 'stream-client', 'containerd-shim-runc-v2', 'cni-plugins'].map(
  (name) => `tools/${name}`,
);

/** What the tests of streams cannot build in a guest. */
const ofStreams = async (): Promise<void> => {
  await shimRuncV2();
  await streamClient();
};

export const parts: readonly Part[] = [
  { name: 'systemd', boots: [vitest('vm', 'test/vm/guest/systemd.test.ts')], hasService: true },
  {
    name: 'takeover',
    boots: [vitest('vm', 'test/vm/guest/takeover.test.ts', 'test/vm/guest/under-systemd.test.ts')],
    hasService: true,
  },
  {
    name: 'packages',
    boots: [vitest('vm', 'test/vm/guest/packages.test.ts')],
    tools: [GUEST_PACKAGES],
    prepare: makeGuestPackages,
  },
  {
    name: 'image-based',
    boots: [inOwnMounts(vitest('vm', 'test/vm/guest/image-based.test.ts'))],
    tools: [GUEST_ARCHIVES],
    prepare: makeGuestArchives,
    // the page's commands are the same in all
    worlds: ['trixie'],
  },
  {
    name: 'selinux',
    boots: [vitest('vm', 'test/vm/guest/selinux.test.ts')],
    worlds: ['selinux'],
    hasService: true,
  },
  // of a slow emulator: what depends on the processor, then a slice of what does not
  {
    name: 'arm64',
    boots: [vitest('vm', 'test/vm/guest/arm64.test.ts')],
    worlds: ['arm64'],
    hasService: true,
  },
  {
    name: 'kernel',
    boots: [vitest('unit,integration', 'test/unit/host/ffi', ...KERNEL_TESTS)],
    worlds: ['arm64'],
  },
  {
    name: 'crictl',
    boots: [vitest('e2e', 'test/e2e/crictl/life.test.ts', 'test/e2e/crictl/restart.test.ts')],
    worlds: ['arm64'],
  },
  {
    name: 'conformance-slice',
    boots: [program('test/conformance-cri/main.ts', '--runtime', RUNC, '--handler', '', '--only', 'process')],
    env: systemd,
    worlds: ['arm64'],
  },
  {
    name: 'churn',
    boots: [program('test/e2e/churn/main.ts', '--pods', '10', '--at-once', '2', '--deadline', '300')],
    worlds: ['arm64'],
  },
  {
    name: 'reboot',
    boots: [
      vitest('vm', 'test/vm/guest/before-reboot.test.ts'),
      vitest('vm', 'test/vm/guest/after-reboot.test.ts'),
    ],
    hasService: true,
  },
  { name: 'cgroups', boots: [vitest('integration', 'test/integration/host/cgroups.test.ts')] },
  { name: 'statistics', ...statistics, env: systemd },
  { name: 'statistics-cgroupfs', ...statistics },
  { name: 'critest', boots: [critest], env: systemd },
  { name: 'critest-cgroupfs', boots: [critest] },
  {
    name: 'critest-crun',
    boots: [program('test/e2e/critest/main.ts', '--runtime', CRUN, '--report', 'REPORT')],
    env: systemd,
  },
  { name: 'conformance', boots: [program('test/conformance-cri/main.ts')], env: systemd },
  { name: 'conformance-cgroupfs', boots: [program('test/conformance-cri/main.ts')] },
  { name: 'kubelet', ...kubelet, env: systemd },
  { name: 'kubelet-cgroupfs', ...kubelet },
  {
    name: 'kubeadm',
    boots: [program('test/vm/guest/kubeadm.ts')],
    tools: [GUEST_PACKAGES, GUEST_CLUSTER],
    prepare: makeGuestCluster,
    needsClockSpeed: true,
    // an emulated processor is too slow for a control plane
    worlds: ['trixie'],
  },
  {
    // links that the machine's own kernel may lack; macvlan beside them, whose title has the same letters
    name: 'networks',
    boots: [
      program('test/e2e/networks/main.ts', 'debian', 'newest', '--only', 'vlan,vrf,dummy', '--at-once', '1'),
    ],
    tools: ['tools/cni-plugins'],
    prepare: referencePlugins,
  },
  { name: 'streams', boots: [vitest('e2e', 'test/e2e/streaming')], tools: TOOLS, prepare: ofStreams },
  { name: 'integration', boots: [vitest('integration')], tools: TOOLS, prepare: shimRuncV2 },
  { name: 'e2e', boots: [vitest('e2e')], tools: TOOLS, prepare: ofStreams },
  { name: 'security', boots: [vitest('security')], tools: TOOLS },
  // of `npm run power-loss`: no world runs them as its parts
  { name: 'power-load', boots: [program('test/vm/power/load.ts')], worlds: [], hasService: true },
  { name: 'power-verify', boots: [program('test/vm/power/verify.ts')], worlds: [], hasService: true },
];

export const partsOf = (world: World): readonly Part[] =>
  parts.filter(
    ({ name, worlds }) =>
      (worlds === undefined || worlds.includes(world.name)) && (world.parts?.includes(name) ?? true),
  );
