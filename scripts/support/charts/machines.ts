// The machines as the charts, the golden matrices and the model tests see them: with their real effects, which are
// never run, and with what the world may answer and ask.
import type { AnyStateMachine, EventObject } from 'xstate';
import { createMachine, fromPromise } from 'xstate';
import type { FaultKind } from '../../../src/base/fault.ts';
import { containerEffects } from '../../../src/actors/container/container.effects.ts';
import { containerMachine } from '../../../src/actors/container/container.machine.ts';
import { pullEffects } from '../../../src/actors/image-pull/image-pull.effects.ts';
import { imagePullMachine } from '../../../src/actors/image-pull/image-pull.machine.ts';
import { collectorMachine } from '../../../src/actors/janitor/collector.machine.ts';
import { janitorMachine } from '../../../src/actors/janitor/janitor.machine.ts';
import { rootMachine } from '../../../src/actors/root/root.machine.ts';
import { sandboxEffects } from '../../../src/actors/sandbox/sandbox.effects.ts';
import { sandboxMachine } from '../../../src/actors/sandbox/sandbox.machine.ts';

type Data = Readonly<Record<string, unknown>>;

export interface Charted {
  readonly name: string;
  /** Where the machine is written. */
  readonly file: string;
  readonly machine: AnyStateMachine;
  /** Ways in which its life begins. */
  readonly inputs: readonly Data[];
  /** The events it may get, in every form that a guard distinguishes. */
  readonly commands: readonly EventObject[];
  /** Effect → what it gives when it works; undefined for those not named. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /**
   * Effect → kinds of faults that its error may have, where a guard distinguishes them; `outside` for those not named.
   */
  readonly faults?: Readonly<Record<string, readonly FaultKind[]>>;
  /** Parts of the context that no decision reads: states that differ only there are explored once. */
  readonly ignored: readonly string[];
  /** Parts that decide only in some states, and never after them: state path → whether they are read. */
  readonly onlyIn?: Readonly<Record<string, RegExp>>;
  /** Lists of the context of which only the length matters, and that up to this number. */
  readonly counted?: Readonly<Record<string, number>>;
}

const PROCESS = { pid: 7, startTicks: 70n, bootId: 'boot' };
const EXIT = {
  exitCode: 0,
  finishedAtNs: 9n,
  oomKilled: false,
  reason: 'Completed',
  message: '',
  observedBy: 'exitFile',
};

const LIMITS = { memoryLimitBytes: 64n, hugepageLimits: [], unified: {}, cpusetCpus: '', cpusetMems: '' };
/** As the spec says it, which is not compared as a whole: `isRestored` separates such states from others. */
const SECURITY = { namespaces: { pid: 'container' } };
const RESTORED = {
  spec: { resources: LIMITS, security: SECURITY, restore: { from: { archive: '/c.tar' }, digest: '' } },
  isRestored: true,
};
const UPDATE = { opId: 'u', change: { ...LIMITS, memoryLimitBytes: 32n } };

// Effects close over ports and activity and touch neither before they run, and nothing here runs one.
const nothing = {} as never;

const container: Charted = {
  name: 'container',
  file: 'src/actors/container/container.machine.ts',
  machine: containerMachine(containerEffects(nothing, nothing), nothing),
  inputs: [
    { entry: 'new', begun: [] },
    { entry: 'intent', begun: ['rootfs', 'runtime'] },
    { entry: 'created', begun: ['rootfs', 'runtime'], init: PROCESS },
    { entry: 'running', begun: ['rootfs', 'runtime'], init: PROCESS, startedAtNs: 5n },
    { entry: 'created', begun: ['rootfs', 'runtime'], init: PROCESS, interrupted: UPDATE },
    { entry: 'running', begun: ['rootfs', 'runtime'], init: PROCESS, startedAtNs: 5n, interrupted: UPDATE },
    { entry: 'stopping', begun: ['rootfs', 'runtime'], init: PROCESS, startedAtNs: 5n, graceMs: 700 },
    {
      entry: 'stopping',
      begun: ['rootfs', 'runtime'],
      init: PROCESS,
      startedAtNs: 5n,
      graceMs: 700,
      interrupted: UPDATE,
    },
    { entry: 'ended', begun: ['rootfs', 'runtime'], init: PROCESS, startedAtNs: 5n, exit: EXIT },
    {
      entry: 'ended',
      begun: ['rootfs', 'runtime'],
      init: PROCESS,
      startedAtNs: 5n,
      exit: EXIT,
      spec: { resources: LIMITS, security: { namespaces: { pid: 'pod' } } },
    },
    { entry: 'exited', begun: ['rootfs', 'runtime'], init: PROCESS, startedAtNs: 5n, exit: EXIT },
    { entry: 'new', begun: [], ...RESTORED },
    { entry: 'created', begun: ['rootfs', 'runtime'], ...RESTORED },
  ].map((part) => ({
    id: 'c',
    spec: { resources: LIMITS, security: SECURITY },
    handler: 'runc',
    image: { layers: [] },
    graceMs: 0,
    claimed: part.entry !== 'new',
    createdAtNs: 1n,
    ...part,
  })),
  commands: [
    { type: 'container.claim' },
    { type: 'container.start', nowNs: 3n, hasPlugins: false },
    { type: 'container.start', nowNs: 3n, hasPlugins: true },
    { type: 'container.stop', graceMs: 0, nowMonoMs: 10, nowNs: 4n },
    { type: 'container.stop', graceMs: 500, nowMonoMs: 10, nowNs: 4n },
    { type: 'container.stop', graceMs: 900, nowMonoMs: 10, nowNs: 4n },
    { type: 'container.remove', nowMonoMs: 10 },
    { type: 'container.update', update: UPDATE },
    { type: 'container.checkpoint', opId: 'k' },
    { type: 'container.thawed', opId: 'k' },
    { type: 'container.abandon' },
    { type: 'container.exited', exit: EXIT },
    { type: 'janitor.retry' },
  ] as readonly EventObject[],
  outputs: {
    writeBundle: { stopSignal: 'SIGTERM' },
    create: PROCESS,
    start: { startedAtNs: 5n },
    restore: { startedAtNs: 5n, init: PROCESS },
  },
  ignored: [
    'entry',
    'committed',
    'releaseFault',
    'effective',
    'init',
    'askedAtMonoMs',
    'graceMs',
    'making',
    'spec',
    'updated',
    'interrupted',
  ],
  onlyIn: {
    killAtMonoMs: /^(starting|running|updating|thawing|stopping)/u,
    killingMs: /^stopping/u,
    // an update does not read it, and leads back to `running`
    checkpoints: /^(running|thawing)/u,
    updates: /^(recovering|created|starting|running|updating|thawing|stopping\.(signalling|waiting))/u,
    isRestored: /^(recovering|recordingIntent|provisioning|created|starting|updating)/u,
  },
  counted: { updates: 2 },
};

const specs = [
  { namespaces: { network: 'pod', ipc: 'pod', pid: 'container' } },
  { namespaces: { network: 'node', ipc: 'node', pid: 'container' } },
  { namespaces: { network: 'pod', ipc: 'pod', pid: 'pod' } },
];

const sandbox: Charted = {
  name: 'sandbox',
  file: 'src/actors/sandbox/sandbox.machine.ts',
  machine: sandboxMachine(sandboxEffects(nothing, nothing, nothing), nothing),
  inputs: specs.flatMap((spec) => {
    const all = [
      'files',
      'cgroup',
      'namespaces',
      ...(spec.namespaces.network === 'pod' ? ['network'] : []),
      ...(spec.namespaces.pid === 'pod' ? ['pause'] : []),
    ];
    return [
      { entry: 'new', begun: [] },
      { entry: 'intent', begun: all },
      { entry: 'ready', begun: all },
      { entry: 'stopping', begun: all },
      { entry: 'stopped', begun: ['files', 'cgroup'] },
      { entry: 'stopped', begun: [] },
      { entry: 'stopping', begun: all, removal: true },
      { entry: 'stopped', begun: ['files', 'cgroup'], removal: true },
    ].map((part) => ({ id: 's', spec, ips: [], claimed: part.entry !== 'new', createdAtNs: 1n, ...part }));
  }),
  commands: [
    { type: 'sandbox.claim' },
    { type: 'sandbox.stop' },
    { type: 'sandbox.remove' },
    { type: 'sandbox.abandon' },
    { type: 'sandbox.broken', why: 'the pause process is gone' },
    { type: 'janitor.retry' },
  ] as readonly EventObject[],
  outputs: { addNetwork: { ips: ['10.0.0.2'] }, startPause: PROCESS },
  ignored: ['entry', 'claimed', 'ips', 'pause', 'createdAtNs'],
};

const imagePull: Charted = {
  name: 'image-pull',
  file: 'src/actors/image-pull/image-pull.machine.ts',
  machine: imagePullMachine(pullEffects(nothing, nothing, nothing, nothing)),
  inputs: [{ owner: 'pull/1', reference: 'docker.io/library/busybox:latest' }],
  commands: [{ type: 'pull.abandon' }],
  outputs: { resolve: { id: 'sha256:1', layers: [] } },
  faults: { fetchLayers: ['outside', 'timedOut'] },
  ignored: [],
};

const effect = fromPromise<void, { owner: string }>(() => Promise.resolve());

const janitor: Charted = {
  name: 'janitor',
  file: 'src/actors/janitor/janitor.machine.ts',
  machine: janitorMachine({ sweep: effect }),
  inputs: [{}],
  commands: [],
  outputs: {},
  ignored: [],
};

const collector: Charted = {
  name: 'collector',
  file: 'src/actors/janitor/collector.machine.ts',
  machine: collectorMachine({
    collect: fromPromise<string | undefined, { owner: string; collected: string | undefined }>(() =>
      Promise.resolve(undefined),
    ),
  }),
  inputs: [{}],
  commands: [],
  outputs: { collect: 'n@0123456789abcdef' },
  faults: { collect: ['outside', 'notReady'] },
  ignored: [],
};

const root: Charted = {
  name: 'root',
  file: 'src/actors/root/root.machine.ts',
  machine: rootMachine({
    recover: effect,
    settleAll: effect,
    sandboxes: createMachine({}),
    containers: createMachine({}),
    pulls: createMachine({}),
    janitor: createMachine({}),
    collector: createMachine({}),
  }),
  inputs: [{}],
  commands: [{ type: 'root.drain' }],
  outputs: {},
  ignored: [],
};

/** Every machine of src/actors; a tidy rule finds one that is missing here. */
export const charted: readonly Charted[] = [root, sandbox, container, imagePull, janitor, collector];
