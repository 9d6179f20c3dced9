/** Calls on a container that runs: exec, limits, log. */
import { expect, it } from 'vitest';
import type { ExecResult } from '../../src/ports/runtime.ts';
import type { EffectContext } from '../../src/ports/effect.ts';
import { EXECS, abortedKind, exitOf, factsOf, fx, kindOf, started } from './runtime-stage.ts';
import type { Running, RuntimeStage } from './runtime-stage.ts';
import { describeCases } from './suite.ts';
import { wholeBytes } from '../support/whole-bytes.ts';
import { fxOf } from '../support/fx.ts';

const MIB = 1024n * 1024n;

/** Cases of the suite. */
export const insideCases = describeCases<RuntimeStage>((of) => {
  const exec = (
    one: Running,
    argv: readonly string[],
    execTimeoutMs = 0,
    effect: EffectContext = fx,
  ): Promise<ExecResult> => of().port.execSync({ ...one, namespace: 'default', argv, execTimeoutMs }, effect);
  const text = (bytes: ExecResult['stdout']): string => Buffer.from(wholeBytes(bytes)).toString();

  it('exec gives the exit code and both streams', async () => {
    const one = await started(of(), 'speaks');
    expect((await exec(one, EXECS.five)).exitCode).toBe(5);
    const said = await exec(one, EXECS.says);
    expect([said.exitCode, text(said.stdout), text(said.stderr)]).toStrictEqual([0, 'out\n', 'err\n']);
  });

  it('exec of a missing program is outside, of an empty command invalidRequest', async () => {
    const one = await started(of(), 'speaks');
    expect(await kindOf(exec(one, EXECS.absent))).toBe('outside');
    expect(await kindOf(exec(one, []))).toBe('invalidRequest');
  });

  it('exec in an ended container is wrongState', async () => {
    const stage = of();
    const one = await started(stage, 'zero');
    await exitOf(stage, one.id);
    await stage.until(() => !stage.port.isAlive(one.init));
    expect(await kindOf(exec(one, EXECS.five))).toBe('wrongState');
  });

  it('exec that does not end is timedOut by its own bound or the effect’s; the container goes on', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    expect(await kindOf(exec(one, EXECS.hangs, 300))).toBe('timedOut');
    expect(await kindOf(exec(one, EXECS.hangs, 0, fxOf(300)))).toBe('timedOut');
    expect(await kindOf(exec(one, EXECS.hangs, 60_000, fxOf(300)))).toBe('timedOut');
    await stage.speak(one);
    expect(await factsOf(stage, one.id)).toMatchObject({ process: 'running', init: one.init });
  });

  it('an aborted exec is cancelled; one whose container is killed ends with 137', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    expect(await abortedKind(stage, (effect) => exec(one, EXECS.hangs, 0, effect))).toBe('cancelled');
    const running = exec(one, EXECS.hangs);
    stage.whenHanging(() => void stage.port.killAll(one, fx));
    expect((await running).exitCode).toBe(137);
  });

  it('concurrent execs each get their own answer', async () => {
    const one = await started(of(), 'speaks');
    const answers = await Promise.all([exec(one, EXECS.five), exec(one, EXECS.says), exec(one, EXECS.five)]);
    expect(answers.map((answer) => answer.exitCode)).toStrictEqual([5, 0, 5]);
  });

  it('F09 update sets limits, sets them again, and lifts those that are unset', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    const from = one.spec.resources;
    const resources = { ...from, memoryLimitBytes: 64n * MIB };
    const unlimited = stage.memoryLimit(one);
    for (let n = 0; n < 2; n += 1) await stage.port.update({ ...one, resources, from }, fx);
    expect([unlimited, stage.memoryLimit(one)]).toStrictEqual([undefined, 64n * MIB]);
    await stage.restart();
    await stage.port.update({ ...one, resources: from, from: resources }, fx);
    expect(stage.memoryLimit(one)).toBeUndefined();
  });

  it('F09 update below the usage is wrongState and changes nothing', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    const from = one.spec.resources;
    const resources = { ...from, memoryLimitBytes: 4096n };
    expect(await kindOf(stage.port.update({ ...one, resources, from }, fx))).toBe('wrongState');
    expect(stage.memoryLimit(one)).toBeUndefined();
    await stage.speak(one);
  });

  it('update of an unknown container is notFound, of an ended one outside', async () => {
    const stage = of();
    const absent = stage.container('zero');
    const resources = { ...absent.spec.resources, memoryLimitBytes: 64n * MIB };
    expect(await kindOf(stage.port.update({ ...absent, resources, from: absent.spec.resources }, fx))).toBe(
      'notFound',
    );
    const one = await started(stage, 'zero');
    await exitOf(stage, one.id);
    expect(await kindOf(stage.port.update({ ...one, resources, from: one.spec.resources }, fx))).toBe(
      'outside',
    );
  });

  it('I9 each line is logged once, in order, over rotations, reopens and a restart, up to the last output', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    await stage.speak(one);
    stage.rotate(one);
    // the monitor still has the old file
    await stage.speak(one);
    await stage.port.reopenLog(one, fx);
    await stage.speak(one);
    stage.rotate(one);
    await stage.restart();
    await stage.port.reopenLog(one, fx);
    await stage.speak(one);
    stage.port.watch(one);
    await stage.port.kill({ ...one, signal: 'SIGTERM' }, fx);
    await exitOf(stage, one.id);
    expect(stage.lines(one)).toStrictEqual({ rotated: [[1, 2, 3], [4]], current: [5] });
    await stage.port.destroy(one, fx);
    // the kubelet's own
    expect(stage.lines(one).current).toStrictEqual([5]);
  });

  it('I9 a log that was not renamed is kept by a reopen, twice', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    await stage.speak(one);
    for (let n = 0; n < 2; n += 1) await stage.port.reopenLog(one, fx);
    await stage.speak(one);
    stage.rotate(one);
    for (let n = 0; n < 2; n += 1) {
      await stage.port.reopenLog(one, fx);
      await stage.speak(one);
    }
    expect(stage.lines(one)).toStrictEqual({ rotated: [[1, 2, 3]], current: [4, 5] });
  });

  it('I9 reopen of an ended or unknown container is wrongState and makes no file', async () => {
    const stage = of();
    const absent = stage.container('zero');
    expect(await kindOf(stage.port.reopenLog(absent, fx))).toBe('wrongState');
    const one = await started(stage, 'zero');
    await exitOf(stage, one.id);
    await stage.until(async () => (await factsOf(stage, one.id))?.monitorAlive === false);
    stage.rotate(one);
    expect(await kindOf(stage.port.reopenLog(one, fx))).toBe('wrongState');
    expect([stage.lines(absent).current, stage.lines(one)]).toStrictEqual([
      undefined,
      { rotated: [[1]], current: undefined },
    ]);
  });
});
