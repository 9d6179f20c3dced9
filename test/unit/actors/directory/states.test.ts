// The types of states are read from the machines: what does not exist there does not compile.
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { ContainerAddress } from '../../../../src/actors/container/container.context.ts';
import type { Directory } from '../../../../src/actors/directory/directory.ts';
import type { SandboxAddress } from '../../../../src/actors/sandbox/sandbox.context.ts';
import { QUARANTINED, topLevel } from '../../../../src/actors/directory/states.ts';
import type { ContainerState, PullState, SandboxState } from '../../../../src/actors/directory/states.ts';
import { childrenOf } from '../../../../scripts/support/charts/chart.ts';
import { charted } from '../../../../scripts/support/charts/machines.ts';

const namesOf = (machine: string): readonly string[] =>
  charted
    .filter(({ name }) => name === machine)
    .flatMap((one) => childrenOf(one.machine.root).map(({ key }) => key));

describe('states', () => {
  it('are those of the machine and quarantined only', () => {
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

  it('are the first part of a state value, below which the path continues', () => {
    expect(topLevel('ready')).toBe('ready');
    expect(topLevel({ stopping: { waiting: 'grace' } })).toBe('stopping');
    expect(topLevel({ provisioning: { files: 'done', network: 'adding' } })).toBe('provisioning');
  });
});

it('only events of its machine can be sent to an actor', () => {
  // never called: the compiler is the test
  const sendAll = (directory: Directory, pod: SandboxAddress, app: ContainerAddress): void => {
    directory.send(pod, { type: 'sandbox.abandon' });
    directory.send(app, { type: 'container.abandon' });
    // @ts-expect-error a container's event
    directory.send(pod, { type: 'container.abandon' });
    // @ts-expect-error without the time of the command
    directory.send(app, { type: 'container.remove' });
    // @ts-expect-error one machine or the other: nobody knows which
    directory.send(Math.random() < 0.5 ? pod : app, { type: 'janitor.retry' });
  };
  expect(sendAll).toBeTypeOf('function');
});
