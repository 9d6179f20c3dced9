/** Signals, and how ends become known: at least once, true, and also what nobody watched. */
import { expect, it } from 'vitest';
import type { ContainerId } from '../../src/base/ids.ts';
import { created, exitOf, factsOf, fx, kindOf, started } from './runtime-stage.ts';
import type { RuntimeStage } from './runtime-stage.ts';
import { describeCases } from './suite.ts';

/** Cases of the suite. */
export const endCases = describeCases<RuntimeStage>((of) => {
  it.each([
    ['zero', 0, 'Completed'],
    ['seven', 7, 'Error'],
  ] as const)('I8 the end of %s is reported as %i, %s', async (behaviour, exitCode, reason) => {
    const stage = of();
    const one = await started(stage, behaviour);
    const exit = await exitOf(stage, one.id);
    expect(exit).toMatchObject({ exitCode, reason, oomKilled: false, observedBy: 'exitFile' });
    expect(await stage.port.readExit(one, fx)).toStrictEqual(exit);
  });

  it('I8 F47 an OOM kill of the program is reported as one', async () => {
    const stage = of();
    const one = await started(stage, 'hungry');
    expect(await exitOf(stage, one.id)).toMatchObject({
      exitCode: 137,
      oomKilled: true,
      reason: 'OOMKilled',
      observedBy: 'exitFile',
    });
  });

  it('a stubborn program outlives SIGTERM and not SIGKILL', async () => {
    const stage = of();
    const one = await started(stage, 'stubborn');
    await stage.port.kill({ ...one, signal: 'SIGTERM' }, fx);
    expect(await factsOf(stage, one.id)).toMatchObject({ process: 'running', init: one.init });
    await stage.port.kill({ ...one, signal: 'SIGKILL' }, fx);
    expect(await exitOf(stage, one.id)).toMatchObject({ exitCode: 137, oomKilled: false, reason: 'Error' });
  });

  it('killAll ends the container; for an ended or unknown one it succeeds', async () => {
    const stage = of();
    const one = await started(stage, 'stubborn');
    await stage.port.killAll(one, fx);
    expect((await exitOf(stage, one.id))?.exitCode).toBe(137);
    await stage.port.killAll(one, fx);
    await stage.port.killAll({ ...one, init: undefined }, fx);
    await stage.port.killAll({ ...stage.container('zero'), init: undefined }, fx);
  });

  it('killAll without a known init ends what is in the cgroup', async () => {
    const stage = of();
    const one = await started(stage, 'stubborn');
    await stage.port.killAll({ ...one, init: undefined }, fx);
    expect((await exitOf(stage, one.id))?.exitCode).toBe(137);
  });

  it('kill with an unknown signal is invalidRequest; kill of a process that is gone succeeds', async () => {
    const stage = of();
    const one = await started(stage, 'zero');
    expect(await kindOf(stage.port.kill({ ...one, signal: 'SIGNONE' }, fx))).toBe('invalidRequest');
    await exitOf(stage, one.id);
    await stage.port.kill({ ...one, signal: 'SIGKILL' }, fx);
  });

  it('F43 a process with the same pid but another start time or boot is never signalled', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    for (const init of [
      { ...one.init, startTicks: one.init.startTicks + 1n },
      { ...one.init, bootId: 'another' },
    ]) {
      expect(stage.port.isAlive(init)).toBe(false);
      await stage.port.kill({ ...one, init, signal: 'SIGKILL' }, fx);
    }
    await stage.speak(one);
    expect(await factsOf(stage, one.id)).toMatchObject({ process: 'running', init: one.init });
  });

  it('killAll before start: the end is reported, and start fails with outside', async () => {
    const stage = of();
    const one = await created(stage, stage.container('zero'));
    await stage.port.killAll(one, fx);
    expect((await exitOf(stage, one.id))?.exitCode).toBe(137);
    expect(await kindOf(stage.port.start(one, fx))).toBe('outside');
  });

  it('F37 init dies before start: start fails with outside and the end is reported', async () => {
    const stage = of();
    const one = await created(stage, stage.container('zero'));
    stage.killInit(one);
    expect(await kindOf(stage.port.start(one, fx))).toBe('outside');
    expect(await exitOf(stage, one.id)).toMatchObject({ exitCode: 137, observedBy: 'exitFile' });
  });

  it('I8 an end while no daemon ran is reported to each later daemon until it is forgotten', async () => {
    const stage = of();
    const one = await started(stage, 'seven');
    await exitOf(stage, one.id);
    const before = stage.reported(one.id).length;
    await stage.restart();
    await stage.until(() => stage.reported(one.id).length > before);
    expect(stage.reported(one.id).every((exit) => exit.exitCode === 7)).toBe(true);
    expect(await factsOf(stage, one.id)).toMatchObject({ process: 'gone', exitFile: { exitCode: 7 } });
    const twice = stage.reported(one.id).length;
    await stage.port.forgetExit(one, fx);
    await stage.restart();
    await stage.port.observe(fx);
    expect(stage.reported(one.id)).toHaveLength(twice);
  });

  it('I8 an exit file of an unknown id is reported and observed', async () => {
    const stage = of();
    const id = 'e'.repeat(64) as ContainerId;
    stage.strayExit(id, 3);
    await stage.restart();
    expect(await exitOf(stage, id)).toMatchObject({ exitCode: 3, observedBy: 'exitFile' });
    expect(await factsOf(stage, id)).toMatchObject({
      process: 'gone',
      init: undefined,
      monitorAlive: false,
      exitFile: { exitCode: 3 },
      leftovers: false,
    });
    await stage.port.forgetExit({ ...stage.container('zero'), id }, fx);
    expect(await factsOf(stage, id)).toBeUndefined();
  });

  it('F38 a killed monitor takes its container with it: the exit is reported as 255, MonitorLost', async () => {
    const stage = of();
    const one = await started(stage, 'stubborn');
    stage.killMonitor(one.id);
    expect(await exitOf(stage, one.id)).toMatchObject({
      exitCode: 255,
      reason: 'MonitorLost',
      oomKilled: false,
      observedBy: 'process',
    });
    expect([stage.port.isAlive(one.init), await stage.port.readExit(one, fx)]).toStrictEqual([
      false,
      undefined,
    ]);
  });

  it('F38 a monitor that died while no daemon ran is observed, and its exit reported once it is watched', async () => {
    const stage = of();
    const one = await started(stage, 'stubborn');
    await stage.restart();
    stage.killMonitor(one.id);
    await stage.until(async () => (await factsOf(stage, one.id))?.monitorAlive === false);
    expect(await factsOf(stage, one.id)).toMatchObject({
      process: 'running',
      init: one.init,
      exitFile: undefined,
    });
    stage.port.watch(one);
    stage.port.watch(one);
    expect(await exitOf(stage, one.id)).toMatchObject({
      exitCode: 255,
      reason: 'MonitorLost',
      observedBy: 'process',
    });
    expect(stage.port.isAlive(one.init)).toBe(false);
  });

  it('a watch that starts after the end reports it', async () => {
    const stage = of();
    const one = await created(stage, stage.container('seven'));
    await stage.port.start(one, fx);
    await stage.until(async () => (await stage.port.readExit(one, fx)) !== undefined);
    stage.port.watch(one);
    expect((await exitOf(stage, one.id))?.exitCode).toBe(7);
  });
});
