// Each invariant: kept by a healthy instance, broken by one change, and not judged while its actor is between two
// states.
import { describe, expect, it } from 'vitest';
import type { JournalRecord } from '../../../../src/ports/journal.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { judge } from '../../../../src/daemon/cli/judge.ts';
import type { NodeEvidence, LiveActor } from '../../../../src/daemon/cli/judge.ts';
import type { Machine, SeenProcess } from '../../../../src/daemon/cli/machine.ts';
import { containerCgroup, sandboxCgroup } from '../../../../src/host/sandbox/layout.ts';
import {
  containerCreated,
  containerId,
  containerIntent,
  digest,
  exit,
  imageId,
  imageRecord,
  process,
  sandboxId,
  sandboxIntent,
  sandboxReady,
} from '../../actors/fixtures.ts';

const POD = sandboxId('a');
const APP = containerId('c');
const LOST = containerId('e');
const PARENT = '/kubepods/web';

/** pod `web` with a running container and its image, as it should be. */
const RECORDS: readonly JournalRecord[] = [
  { type: 'image.present', image: imageRecord() },
  sandboxIntent(),
  sandboxReady(),
  containerIntent(),
  containerCreated(),
  { type: 'container.started', id: APP, startedAtNs: 300n },
];

const monitor: SeenProcess = { pid: 50, startTicks: 1, id: APP, role: 'monitor', name: 'conmon' };
const MACHINE: Machine = {
  unread: [],
  bootId: 'boot-1',
  startTicks: new Map([
    [process.pid, 99],
    [50, 1],
  ]),
  processes: [monitor, { pid: process.pid, startTicks: 99, id: APP, role: 'cgroup', name: 'nginx' }],
  cgroups: [
    { path: sandboxCgroup(PARENT, POD), id: POD },
    { path: containerCgroup(PARENT, APP), id: APP },
  ],
  mounts: [{ path: `/var/lib/troupe/containers/${APP}/rootfs`, id: APP }],
  entries: [{ path: `/run/troupe/sandboxes/${POD}`, kind: 'sandbox files', id: POD }],
  pins: new Set([`${POD}/net`, `${POD}/uts`, `${POD}/ipc`]),
  attachments: [POD],
  leases: [{ path: '/leases/net/10.62.0.2', ip: '10.62.0.2', id: POD, isOwn: true }],
  rules: [{ family: 4, id: POD, network: 'net' }],
  masqueraded: [],
  masquerades: [],
  layers: [{ diffId: digest('5'), path: '/layers/5', isWhole: true }],
  partials: [],
  ingests: [],
  trash: [],
};
const LIVE: NonNullable<NodeEvidence['live']> = {
  actors: new Map<string, LiveActor>([
    [POD, { state: 'ready', settled: true }],
    [APP, { state: 'running', settled: true }],
  ]),
  pulls: 0,
};

interface Change {
  readonly records?: readonly JournalRecord[];
  readonly machine?: Partial<Machine>;
  readonly live?: NodeEvidence['live'];
  readonly end?: NodeEvidence['records']['end'];
}

function findings(change: Change = {}) {
  const ledger = emptyLedger();
  for (const record of change.records ?? RECORDS) ledgerFold.apply(ledger, record);
  return judge({
    records: { ledger, end: change.end ?? 'whole', damagedKept: [], histories: new Map() },
    machine: { ...MACHINE, ...change.machine },
    live: 'live' in change ? change.live : LIVE,
  });
}
const reported = (change: Change = {}): string[] =>
  findings(change).map(({ invariant, object, message }) => `${invariant} ${object}: ${message}`);
const actors = (id: string, state: string, settled: boolean): NonNullable<NodeEvidence['live']> => ({
  pulls: 0,
  actors: new Map([...LIVE.actors, [id, { state, settled }]]),
});

describe('a healthy instance', () => {
  it('has no findings, with its daemon and without', () => {
    expect(reported()).toEqual([]);
    expect(reported({ live: undefined })).toEqual([]);
  });
});

describe('I3: pods of troupe’s own network reach addresses outside of it', () => {
  const rule = { bridge: 'troupe0', family: 4, subnet: '10.62.0.0/16' } as const;
  const made = { tool: 'nft', rule, isWhole: true } as const;
  const missing = 'I3 IPv4 masquerade rule: it is missing, so pods reach nothing outside of the node';

  it.each([
    ['the rule', [made], []],
    ['no rule', [], [missing]],
    ['a table without the rule', [{ ...made, isWhole: false }], [missing]],
    ['the rule of the other family', [{ ...made, rule: { ...rule, family: 6 as const } }], [missing]],
  ])('with %s', (_, masquerades, wanted) => {
    const machine = { masqueraded: [POD], masquerades };
    expect(reported({ machine })).toEqual(wanted);
    expect(reported({ machine: { masquerades } })).toEqual([]);
    // the next start makes it
    expect(reported({ machine, live: undefined })).toEqual([]);
  });
});

describe('I1, I10: what a record names exists', () => {
  const broken: readonly (readonly [string, Partial<Machine>, readonly string[]])[] = [
    [
      'a pin',
      { pins: new Set([`${POD}/net`, `${POD}/uts`]) },
      ['I1 pod default/web: its ipc namespace is not pinned'],
    ],
    ['the duty of DEL', { attachments: [] }, ['I1 pod default/web: no attachment is kept for its CNI DEL']],
    ['its cgroup', { cgroups: [] }, ['I1 pod default/web: its cgroup is gone']],
    ['its files', { entries: [] }, ['I1 pod default/web: its files are gone']],
    ['its monitor', { processes: [] }, ['I1 container nginx: it has 0 monitors']],
    [
      'a second monitor',
      { processes: [monitor, { ...monitor, pid: 51 }] },
      ['I1 container nginx: it has 2 monitors'],
    ],
    ['its mount', { mounts: [] }, ['I1 container nginx: its root file system is mounted 0 times']],
    [
      'its process',
      { startTicks: new Map([[50, 1]]) },
      ['I10 container nginx: it is reported alive, but its process 4711 is not'],
    ],
    [
      'another process with its pid',
      { startTicks: new Map([[process.pid, 100]]) },
      ['I10 container nginx: it is reported alive, but its process 4711 is not'],
    ],
    [
      'another boot',
      { bootId: 'boot-2' },
      ['I10 container nginx: it is reported alive, but its process 4711 is not'],
    ],
  ];

  it.each(broken)('%s', (_what, machine, expected) => expect(reported({ machine })).toEqual(expected));

  it('is not checked while the actor is between two states, nor without a daemon', () => {
    for (const [, machine] of broken) {
      const between = {
        pulls: 0,
        actors: new Map<string, LiveActor>([
          [POD, { state: 'unwinding', settled: false }],
          [APP, { state: 'stopping', settled: false }],
        ]),
      };
      expect(reported({ machine, live: between })).toEqual([]);
      expect(reported({ machine, live: undefined })).toEqual([]);
    }
  });

  it('the mount that gVisor’s gofers share is nobody’s leak', () => {
    const path = '/run/troupe/runtimes/runsc/null-netns';
    const shared = { path, id: undefined, isGofers: true } as const;
    expect(reported({ machine: { mounts: [...MACHINE.mounts, shared] } })).toEqual([]);
  });

  it('an ended container has no mount and no process', () => {
    const records: readonly JournalRecord[] = [
      ...RECORDS,
      { type: 'container.exited', id: APP, exit, startedAtNs: 300n },
    ];
    const live = actors(APP, 'exited', true);
    expect(reported({ records, live, machine: { mounts: [], processes: [] } })).toEqual([]);
    const helper: SeenProcess = { ...monitor, role: 'helper', name: 'fuse-overlayfs' };
    expect(reported({ records, live, machine: { mounts: [], processes: [helper] } })).toEqual([
      expect.stringMatching(/^I10 .*container nginx has ended, its process \d+ \(fuse-overlayfs\) lives/u),
    ]);
    const volume = { path: `/var/lib/troupe/containers/${APP}/volumes/${'7'.repeat(64)}`, id: APP };
    expect(reported({ records, live, machine: { mounts: [volume], processes: [] } })).toEqual([
      'I1 container nginx: it has ended, an image that it had as a volume is still mounted',
    ]);
    expect(reported({ records, live, machine: { processes: [monitor] } })).toEqual([
      'I1 container nginx: it has ended, its root file system is still mounted',
      'I10 process 50: container nginx has ended, its process 50 (conmon) lives in its cgroup',
    ]);
  });

  it('a pod with a user namespace has it pinned', () => {
    const ids = { containerId: 0, hostId: 70_000, length: 65_536 };
    const namespaces = {
      network: 'pod',
      ipc: 'pod',
      pid: 'container',
      targetId: undefined,
      user: { uids: ids, gids: ids },
    } as const;
    const records = RECORDS.map((record) =>
      record.type === 'sandbox.intent' ? sandboxIntent({ namespaces }) : record,
    );
    expect(reported({ records })).toEqual(['I1 pod default/web: its user namespace is not pinned']);
    expect(reported({ records, machine: { pins: new Set([...MACHINE.pins, `${POD}/user`]) } })).toEqual([]);
  });

  it('a pause process belongs to a pod with a shared PID namespace', () => {
    const records = RECORDS.map((record) =>
      record.type === 'sandbox.ready' ? sandboxReady({ ...process, pid: 9 }) : record,
    );
    expect(reported({ records })).toEqual(['I1 pod default/web: its pause process 9 is gone']);
  });
});

describe('I2: everything with our mark belongs to a record', () => {
  it.each<readonly [string, Partial<Machine>, string, string | undefined]>([
    [
      'process',
      { processes: [...MACHINE.processes, { ...monitor, pid: 60, id: LOST }] },
      'process 60',
      'process',
    ],
    [
      'cgroup',
      { cgroups: [...MACHINE.cgroups, { path: `/troupe/troupe-${LOST}`, id: LOST }] },
      `cgroup /troupe/troupe-${LOST}`,
      'cgroup',
    ],
    [
      'mount',
      { mounts: [...MACHINE.mounts, { path: '/run/troupe/x', id: LOST }] },
      'mount /run/troupe/x',
      'mount',
    ],
    [
      'mount without an id',
      { mounts: [...MACHINE.mounts, { path: '/run/troupe/x', id: undefined }] },
      'mount /run/troupe/x',
      undefined,
    ],
    [
      'pins',
      { entries: [...MACHINE.entries, { path: '/run/troupe/ns/e', kind: 'namespace pins', id: LOST }] },
      '/run/troupe/ns/e',
      'pins',
    ],
    [
      'files',
      { entries: [...MACHINE.entries, { path: '/run/troupe/exits/e', kind: 'exit file', id: LOST }] },
      '/run/troupe/exits/e',
      'files',
    ],
    [
      'a name that is no id',
      { entries: [...MACHINE.entries, { path: '/run/troupe/exits/x', kind: 'exit file', id: undefined }] },
      '/run/troupe/exits/x',
      undefined,
    ],
  ])('%s', (_what, machine, object, leak) => {
    const found = findings({ machine });
    expect(found.map((one) => [one.invariant, one.object, one.leak?.kind])).toEqual([['I2', object, leak]]);
  });

  it('an actor of the daemon is an owner, too, since its intent may be newer than the read journal', () => {
    const machine = { processes: [...MACHINE.processes, { ...monitor, pid: 60, id: LOST }] };
    expect(reported({ machine, live: actors(LOST, 'provisioning', false) })).toEqual([]);
  });
});

describe('I3: the network', () => {
  it('finds CNI duties, leases and rules without an owner; only those that are ours alone are deleted directly', () => {
    const machine: Partial<Machine> = {
      attachments: [POD, sandboxId('e')],
      leases: [
        ...MACHINE.leases,
        { path: '/own/10.62.0.9', ip: '10.62.0.9', id: sandboxId('e'), isOwn: true },
        { path: '/shared/10.0.0.9', ip: '10.0.0.9', id: undefined, isOwn: false },
      ],
      rules: [...MACHINE.rules, { family: 6, id: sandboxId('e'), network: 'net' }],
    };
    expect(
      findings({ machine }).map(({ invariant, object, leak }) => [invariant, object, leak?.kind]),
    ).toEqual([
      ['I3', `attachment ${LOST}`, 'attachment'],
      ['I3', 'lease /own/10.62.0.9', 'files'],
      ['I3', 'lease /shared/10.0.0.9', undefined],
      ['I3', 'IPv6 rules of net', 'rules'],
    ]);
  });

  it('finds an address on two pods, and one leased to another pod', () => {
    const other = sandboxId('b');
    const key = { name: 'db', namespace: 'default', uid: 'u2', attempt: 0 };
    const records = [...RECORDS, sandboxIntent({ key }, other), sandboxReady(undefined, other)];
    expect(reported({ records })).toEqual([
      `I3 address 10.62.0.2: pod default/db and sandbox ${POD} both have it`,
      `I3 address 10.62.0.2: pod default/db has it, but /leases/net/10.62.0.2 leases it to ${POD}`,
    ]);
    expect(reported({ records: [...records, { type: 'sandbox.stopping', id: other }] })).toEqual([]);
  });
});

describe('I4, I5, I6, I8: the records among themselves', () => {
  const second = containerId('d');
  it.each<readonly [string, readonly JournalRecord[], readonly string[]]>([
    [
      'one name twice',
      [...RECORDS, containerIntent({}, second), containerCreated(second)],
      [`I4 container nginx #0 of ${POD}: ${second} and ${APP} both have this name`],
    ],
    [
      'a container without its pod',
      [
        ...RECORDS,
        containerIntent({ key: { sandboxId: sandboxId('9'), name: 'orphan', attempt: 0 } }, second),
      ],
      [`I6 container orphan: its sandbox ${sandboxId('9')} has no record`],
    ],
    [
      'started, never created',
      RECORDS.filter(({ type }) => type !== 'container.created'),
      [
        'I5 container nginx: it was started, but never created',
        'I10 container nginx: it is reported alive, but its process on record is not',
      ],
    ],
    [
      'started before created',
      [...RECORDS, { type: 'container.started', id: APP, startedAtNs: 199n }],
      ['I8 container nginx: it was started before it was created'],
    ],
    [
      'ended before started',
      [
        ...RECORDS,
        { type: 'container.exited', id: APP, exit: { ...exit, finishedAtNs: 299n }, startedAtNs: 300n },
      ],
      [
        'I5 container nginx: it has ended on record, but is reported alive',
        'I8 container nginx: it ended before it began',
      ],
    ],
  ])('%s', (_what, records, expected) => expect(reported({ records })).toEqual(expected));

  it('a damaged journal is reported', () =>
    expect(reported({ end: 'damaged' })).toEqual([
      'I5 journal: the journal is damaged: what was recorded after the damage is not known',
    ]));
});

describe('I14, I15: images', () => {
  const extra = { diffId: digest('6'), path: '/layers/6', isWhole: true };

  it('finds a missing or partial layer', () => {
    const message = `I14 image docker.io/library/nginx:1: its layer ${digest('5')} is missing or incomplete; pull the image again`;
    expect(reported({ machine: { layers: [] } })).toEqual([message]);
    expect(
      reported({ machine: { layers: [{ diffId: digest('5'), path: '/layers/5', isWhole: false }] } }),
    ).toEqual([message]);
  });

  it('finds unused layers, partial layers and trash while no pull works; the next start deletes those of a stopped daemon', () => {
    const machine = {
      layers: [...MACHINE.layers, extra],
      partials: ['/partial/x'],
      ingests: [`/ingest/${digest('8').slice(7)}`],
      trash: ['/trash/y'],
    };
    expect(findings({ machine }).map(({ invariant, object, leak }) => [invariant, object, leak])).toEqual([
      ['I15', `layer ${digest('6')}`, undefined],
      ['I15', '/partial/x', undefined],
      ['I15', `/ingest/${digest('8').slice(7)}`, undefined],
      ['I15', '/trash/y', undefined],
    ]);
    expect(reported({ machine, live: { ...LIVE, pulls: 1 } })).toEqual([]);
    expect(reported({ machine, live: undefined })).toEqual([]);
  });

  it('leaves the downloads of an interrupted pull for its client', () => {
    const machine = { layers: [...MACHINE.layers, extra], ingests: [`/ingest/${digest('8').slice(7)}`] };
    const fetching: JournalRecord = {
      type: 'image.fetching',
      id: imageId('2'),
      layers: [{ digest: digest('8'), diffId: digest('6') }],
    };
    expect(reported({ machine, records: [...RECORDS, fetching] })).toEqual([]);
  });

  it('leaves the layers of a removed image that a container uses', () => {
    expect(reported({ records: RECORDS.filter(({ type }) => type !== 'image.present') })).toEqual([]);
  });
});
