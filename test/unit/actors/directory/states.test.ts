// The types of states are read from the machines: what does not exist there does not compile.
import { describe, expect, expectTypeOf, it } from 'vitest';
import { QUARANTINED, topLevel } from '../../../../src/actors/directory/states.ts';
import type { ContainerState, PullState, SandboxState } from '../../../../src/actors/directory/states.ts';
import { childrenOf } from '../../../../scripts/support/charts/chart.ts';
import { charted } from '../../../../scripts/support/charts/machines.ts';

const namesOf = (machine: string): readonly string[] =>
  charted
    .filter(({ name }) => name === machine)
    .flatMap((one) => childrenOf(one.machine.root).map(({ key }) => key));

describe('states', () => {
  it('are those of the machine and quarantined, and no other string', () => {
    expectTypeOf<'updating'>().toExtend<ContainerState>();
    expectTypeOf<'notReady'>().toExtend<SandboxState>();
    expectTypeOf<'fetching'>().toExtend<PullState>();
    expectTypeOf<typeof QUARANTINED>().toExtend<ContainerState & SandboxState & PullState>();
    expectTypeOf<'stopping.killing'>().not.toExtend<ContainerState>();
    expectTypeOf<'notReady'>().not.toExtend<ContainerState>();
    expectTypeOf<string>().not.toExtend<SandboxState>();
    for (const machine of ['sandbox', 'container', 'image-pull'])
      expect(namesOf(machine)).not.toContain(QUARANTINED);
  });

  it('are the first word of a state value, below which the path goes on', () => {
    expect(topLevel('ready')).toBe('ready');
    expect(topLevel({ stopping: { waiting: 'grace' } })).toBe('stopping');
    expect(topLevel({ provisioning: { files: 'done', network: 'adding' } })).toBe('provisioning');
  });
});
