// Plain directories stand for hierarchies: each shows where the monitor was moved to.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { admitMonitorProcess } from '../../../../src/host/cgroups/cgroups.ts';
import type { CgroupHierarchy, CgroupLayout } from '../../../../src/host/kernel-thread/thread-protocol.ts';

const PATH = '/pod/monitors';
const PID = 4711;

/** Of hierarchies, by their directories' names, each with the pod's cgroup. */
function layoutOf(hierarchies: Record<string, Omit<CgroupHierarchy, 'mountPoint'>>): CgroupLayout {
  const root = mkdtempSync(join(tmpdir(), 'troupe-admit-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const mounted = Object.entries(hierarchies).map(([name, one]) => ({
    ...one,
    mountPoint: join(root, name),
  }));
  for (const { mountPoint } of mounted) mkdirSync(join(mountPoint, dirname(PATH)), { recursive: true });
  const hasV1 = mounted.some(({ version }) => version === 1);
  return { version: hasV1 ? 1 : 2, hybrid: hasV1, controllers: [], hierarchies: mounted };
}

/** In which hierarchies the monitor was moved. */
const movedIn = ({ hierarchies }: CgroupLayout): (string | undefined)[] =>
  hierarchies.map(({ mountPoint }) => {
    const procs = join(mountPoint, PATH, 'cgroup.procs');
    return existsSync(procs) ? readFileSync(procs, 'utf8') : undefined;
  });

const madeIn = ({ hierarchies }: CgroupLayout): boolean[] =>
  hierarchies.map(({ mountPoint }) => existsSync(join(mountPoint, PATH)));

const HYBRID = {
  cpu: { version: 1, controllers: ['cpu'] },
  memory: { version: 1, controllers: ['memory'] },
  unified: { version: 2, controllers: [] },
} as const;
const UNIFIED = { unified: { version: 2, controllers: ['cpu', 'memory'] } } as const;

test.each([
  ['beside v1 all but the one with memory', HYBRID, ['4711', undefined, '4711']],
  ['v2 alone', UNIFIED, ['4711']],
])(
  'a monitor is moved into hierarchies: %s; its cgroup is made in all',
  async (_name, hierarchies, moved) => {
    const layout = layoutOf(hierarchies);
    await admitMonitorProcess(layout, PATH, PID);
    expect(movedIn(layout)).toEqual(moved);
    expect(madeIn(layout)).toEqual(moved.map(() => true));
  },
);

test('a cgroup that an earlier daemon made in one hierarchy is completed', async () => {
  const layout = layoutOf(HYBRID);
  mkdirSync(join(layout.hierarchies[0]?.mountPoint ?? '', PATH));
  await admitMonitorProcess(layout, PATH, PID);
  expect(movedIn(layout)).toEqual(['4711', undefined, '4711']);
});

test('in a pod without a cgroup the monitor stays where it is', async () => {
  const layout = layoutOf(HYBRID);
  for (const { mountPoint } of layout.hierarchies)
    rmSync(join(mountPoint, dirname(PATH)), { recursive: true });
  await admitMonitorProcess(layout, PATH, PID);
  expect(madeIn(layout)).toEqual([false, false, false]);
});

test('a refusal has the errno and names process and cgroup', async () => {
  const layout = layoutOf(UNIFIED);
  const directory = join(layout.hierarchies[0]?.mountPoint ?? '', PATH);
  mkdirSync(join(directory, 'cgroup.procs'), { recursive: true });
  const refused = admitMonitorProcess(layout, PATH, PID);
  await expect(refused).rejects.toMatchObject({
    code: 'EISDIR',
    message: expect.stringContaining(`move process 4711 to cgroup ${directory}: EISDIR`) as string,
  });
});

test('a cgroup right below the root is refused: its parent is nobody’s', async () => {
  await expect(admitMonitorProcess(layoutOf(UNIFIED), '/monitors', PID)).rejects.toThrow(/use cgroup \//u);
});
