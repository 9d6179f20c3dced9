// The reason of a change: once, with the first change after an exit or a failure.
import { assign, createActor, setup } from 'xstate';
import { expect, it } from 'vitest';
import { fault } from '../../../src/base/fault.ts';
import { onTransition } from '../../../src/introspection/transitions.ts';
import type { Transition } from '../../../src/introspection/transitions.ts';

const machine = setup({
  types: {} as { context: { owner: string; fault?: object; exit?: object }; events: { type: 'next' } },
}).createMachine({
  context: { owner: 'container/x' },
  initial: 'running',
  states: {
    running: {
      on: {
        next: { target: 'exited', actions: assign({ exit: { exitCode: 3, reason: 'Error', message: '' } }) },
      },
    },
    exited: {
      on: { next: { target: 'releasing', actions: assign({ fault: fault('outside', 'unmount: busy') }) } },
    },
    releasing: { on: { next: 'done' } },
    done: {},
  },
});

it('a change has the exit or the fault that came with it, and later ones do not', () => {
  const seen: Transition[] = [];
  const actor = createActor(machine, { inspect: onTransition((one) => seen.push(one)) }).start();
  for (let sent = 0; sent < 3; sent += 1) actor.send({ type: 'next' });
  expect(seen.map(({ to, fault: why, exit }) => [to, why, exit])).toEqual([
    ['running', undefined, undefined],
    ['exited', undefined, { exitCode: 3, reason: 'Error' }],
    ['releasing', 'unmount: busy', undefined],
    ['done', undefined, undefined],
  ]);
});
