/**
 * Death before and after each effect of each operation; the command line runs the same with `npm run sim -- --sweep`.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { readGolden } from './golden.ts';
import { sweep } from './sweep.ts';
import type { SweepResult } from './sweep.ts';
import { type InjectedFault, injects } from '../support/faults/injects.ts';

const deaths: Readonly<Record<string, InjectedFault>> = {
  RunPodSandbox: injects('F01', 'kill or power loss at an effect of RunPodSandbox, simulated'),
  CreateContainer: injects('F02', 'kill or power loss at an effect of CreateContainer, simulated'),
  StartContainer: injects('F03', 'kill or power loss at an effect of StartContainer, simulated'),
  StopContainer: injects('F04', 'kill or power loss at an effect of StopContainer, simulated'),
  StopPodSandbox: injects('F05', 'kill or power loss at an effect of StopPodSandbox, simulated'),
  RemovePodSandbox: injects('F05', 'kill or power loss at an effect of RemovePodSandbox, simulated'),
  RemoveContainer: injects('F06', 'kill or power loss at an effect of RemoveContainer, simulated'),
  PullImage: injects('F07', 'kill or power loss at an effect of PullImage, simulated'),
  RemoveImage: injects('F08', 'kill or power loss at an effect of RemoveImage, simulated'),
  UpdateContainerResources: injects('F09', 'kill or power loss at an effect of an update, simulated'),
};
const secondDeath = injects('F10', 'a second death at an effect of the recovery, simulated');

const ROWS: readonly (readonly [string, readonly string[]])[] = [
  ['F01 death in RunPodSandbox', ['RunPodSandbox']],
  ['F02 death in CreateContainer', ['CreateContainer']],
  ['F03 death in StartContainer', ['StartContainer']],
  ['F04 death in StopContainer', ['StopContainer']],
  ['F05 death in StopPodSandbox and RemovePodSandbox', ['StopPodSandbox', 'RemovePodSandbox']],
  ['F06 death in RemoveContainer', ['RemoveContainer']],
  ['F07 death in PullImage, at the effects of its actor', ['PullImage']],
  ['F08 death in RemoveImage', ['RemoveImage']],
  [
    'F09 death in UpdateContainerResources; in an exec and in a log that is opened anew',
    ['UpdateContainerResources', 'ExecSync', 'ReopenContainerLog'],
  ],
  [
    'death in CheckpointContainer and CheckpointPod: nothing stays frozen, no part of an archive is left',
    ['CheckpointContainer', 'CheckpointPod'],
  ],
  ['death in RestorePod', ['RestorePod']],
  ['death while a container ends by itself, and at the start', ['idle', 'start']],
];

describe('crash sweep', () => {
  let result: SweepResult;

  beforeAll(async () => {
    result = await sweep();
  });

  it('the known crash points match the golden list, and all are explored', () => {
    expect([...result.known].toSorted()).toStrictEqual(readGolden());
    expect([...result.explored].toSorted()).toStrictEqual(readGolden());
    expect(result.known.size).toBeGreaterThanOrEqual(120);
  });

  it.each(ROWS)(
    '%s: recovers from a kill and a power loss before and after each effect',
    (_row, operations) => {
      const of = (pairs: ReadonlySet<string>): string[] =>
        [...pairs].filter((pair) => operations.includes(pair.split(' ', 1)[0] ?? ''));
      const failures = result.failures
        .filter(({ pair }) => operations.includes(pair.split(' ', 1)[0] ?? ''))
        .map(
          ({ point, pair, failure }) =>
            `${pair} ${JSON.stringify(point)} ${failure.invariant} ${failure.detail}`,
        );
      expect(failures).toStrictEqual([]);
      expect(of(result.survived).toSorted()).toStrictEqual(of(result.known).toSorted());
      expect(of(result.known).length).toBeGreaterThan(1);
      // one run at least died at each of these pairs
      for (const pair of of(result.explored)) deaths[pair.split(' ', 1)[0] ?? '']?.happened();
    },
  );

  it('F10 recovers from a second crash at each effect of the recovery', async () => {
    const { failures, runs } = await sweep({ depth: 2, every: 13, whole: false });
    expect(
      failures.map(({ pair, point, failure }) => `${pair} ${JSON.stringify(point)} ${failure.detail}`),
    ).toStrictEqual([]);
    expect(runs).toBeGreaterThan(200);
    secondDeath.happened(runs);
  });
});
