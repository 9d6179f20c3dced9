import { spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { describeActor } from '../../../src/introspection/describe.ts';
import { container, sandbox, stage } from './stage.ts';
import { loopTurn } from '../../support/turns.ts';

test.each([['exec'], ['execSync']])(
  'S91 what a user runs by %s is neither shown nor read',
  async (effect) => {
    const child = spawn('sleep', ['600']);
    onTestFinished(() => void child.kill());
    await new Promise((resolve) => child.once('spawn', resolve));
    const { options, put, wait } = stage();
    const pod = sandbox(1, 'ready');
    const view = container(1, pod, 'running');
    put(pod);
    put(view);
    const [endExec, endCreate] = [
      wait(view, effect, 1000, { on: 'the exec process', pid: process.pid }),
      wait(pod, 'runtime', 1000, { on: 'runc create', pid: process.pid }),
    ];
    onTestFinished(() => [endExec, endCreate].forEach((end) => end()));
    // until both have begun
    await loopTurn();
    expect((await describeActor(options, view)).waits?.map(({ on, below }) => [on, below])).toEqual([
      ['the exec process', []],
    ]);
    // the same process as one of ours is
    expect((await describeActor(options, pod)).waits?.[0]?.below?.map(({ name }) => name)).toContain('sleep');
  },
);
