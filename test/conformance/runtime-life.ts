/**
 * From the bundle to the end of all that was made: what each call of the runtime port does when nothing fails, also
 * twice, and on what is not there.
 */
import { expect, it } from 'vitest';
import { created, exitOf, factsOf, fx, kindOf, started } from './runtime-stage.ts';
import type { RuntimeStage } from './runtime-stage.ts';
import { describeCases } from './suite.ts';

/** Cases of the suite. */
export const lifeCases = describeCases<RuntimeStage>((of) => {
  it('the default handler is listed under the empty name and its own, and is ready', () => {
    const [unnamed, named] = of().port.handlers();
    expect([unnamed?.name, named?.name, unnamed?.ready, named?.ready, unnamed?.reason]).toStrictEqual([
      '',
      'runc',
      true,
      true,
      '',
    ]);
  });

  it('observe sees each step of a container’s life, and its removal', async () => {
    const stage = of();
    const { port } = stage;
    const request = stage.container('speaks');
    expect(await factsOf(stage, request.id)).toBeUndefined();
    await port.writeBundle(request, fx);
    const nobody = {
      id: request.id,
      process: 'gone',
      init: undefined,
      monitorAlive: false,
      exitFile: undefined,
      leftovers: true,
      checkpoint: false,
    };
    expect(await factsOf(stage, request.id)).toStrictEqual(nobody);
    const init = await port.create(request, fx);
    expect(await factsOf(stage, request.id)).toStrictEqual({
      ...nobody,
      process: 'created',
      init,
      monitorAlive: true,
    });
    port.watch({ ...request, init });
    await port.start(request, fx);
    expect(await factsOf(stage, request.id)).toStrictEqual({
      ...nobody,
      process: 'running',
      init,
      monitorAlive: true,
    });
    expect(port.isAlive(init)).toBe(true);
    await stage.until(() => stage.lines(request).current?.length === 1);
    await port.kill({ ...request, init, signal: 'SIGTERM' }, fx);
    const exit = await exitOf(stage, request.id);
    expect(exit).toMatchObject({
      exitCode: 143,
      oomKilled: false,
      reason: 'Error',
      message: '',
      observedBy: 'exitFile',
    });
    await stage.until(async () => (await factsOf(stage, request.id))?.monitorAlive === false);
    expect(await factsOf(stage, request.id)).toStrictEqual({ ...nobody, exitFile: exit });
    expect([port.isAlive(init), await port.readExit(request, fx)]).toStrictEqual([false, exit]);
    await port.delete(request, fx);
    await port.delete(request, fx);
    expect(await factsOf(stage, request.id)).toStrictEqual({ ...nobody, exitFile: exit });
    await port.forgetExit(request, fx);
    await port.forgetExit(request, fx);
    expect([await factsOf(stage, request.id), await port.readExit(request, fx)]).toStrictEqual([
      nobody,
      undefined,
    ]);
    await port.destroy({ ...request, ended: true }, fx);
    await port.destroy(request, fx);
    expect(await factsOf(stage, request.id)).toBeUndefined();
  });

  it('a bundle can be written twice before it is used', async () => {
    const stage = of();
    const request = stage.container('zero');
    expect(await stage.port.writeBundle(request, fx)).toStrictEqual(
      await stage.port.writeBundle(request, fx),
    );
    await stage.port.start(await created(stage, request), fx);
    expect((await exitOf(stage, request.id))?.exitCode).toBe(0);
  });

  it('a handler that is not configured is notFound', async () => {
    const stage = of();
    const request = { ...stage.container('zero'), handler: 'absent' };
    expect(await kindOf(stage.port.writeBundle(request, fx))).toBe('notFound');
    expect(await kindOf(stage.port.start(request, fx))).toBe('notFound');
  });

  it('create without a bundle is notFound and leaves nothing', async () => {
    const stage = of();
    const request = stage.container('zero');
    expect(await kindOf(stage.port.create(request, fx))).toBe('notFound');
    expect(await factsOf(stage, request.id)).toBeUndefined();
  });

  it('start of an unknown container, or again of a running one, is outside; the running one goes on', async () => {
    const stage = of();
    expect(await kindOf(stage.port.start(stage.container('zero'), fx))).toBe('outside');
    const one = await started(stage, 'speaks');
    expect(await kindOf(stage.port.start(one, fx))).toBe('outside');
    await stage.speak(one);
    expect([await factsOf(stage, one.id), stage.reported(one.id)]).toMatchObject([
      { process: 'running', init: one.init },
      [],
    ]);
  });

  it('start of an ended container is outside', async () => {
    const stage = of();
    const one = await started(stage, 'zero');
    await exitOf(stage, one.id);
    expect(await kindOf(stage.port.start(one, fx))).toBe('outside');
  });

  it('delete of a running container fails with outside; delete of an unknown one succeeds', async () => {
    const stage = of();
    const one = await started(stage, 'speaks');
    expect(await kindOf(stage.port.delete(one, fx))).toBe('outside');
    expect(await factsOf(stage, one.id)).toMatchObject({ process: 'running', init: one.init });
    await stage.port.delete(stage.container('zero'), fx);
  });

  it.each([
    'nothing',
    'a bundle',
    'a container that waits for start',
    'a running container',
    'an ended container',
  ])('destroy of %s, twice', async (what) => {
    const stage = of();
    const { port } = stage;
    const request = stage.container(what === 'an ended container' ? 'seven' : 'speaks');
    if (what !== 'nothing') await port.writeBundle(request, fx);
    const init = what === 'nothing' || what === 'a bundle' ? undefined : await port.create(request, fx);
    if (init !== undefined) port.watch({ ...request, init });
    if (what.includes('running') || what.includes('ended')) await port.start(request, fx);
    if (what.includes('ended')) await exitOf(stage, request.id);
    await port.destroy(request, fx);
    await port.destroy(request, fx);
    expect(await factsOf(stage, request.id)).toBeUndefined();
    if (init !== undefined) expect(port.isAlive(init)).toBe(false);
    // the end of what is not wanted any more is no news
    expect(stage.reported(request.id).length > 0).toBe(what.includes('ended'));
    expect(await port.readExit(request, fx)).toBeUndefined();
  });

  it('a destroyed container can be made again under its id', async () => {
    const stage = of();
    const request = stage.container('zero');
    const first = await created(stage, request);
    await stage.port.destroy(request, fx);
    const second = await created(stage, request);
    expect([stage.port.isAlive(first.init), stage.port.isAlive(second.init)]).toStrictEqual([false, true]);
    await stage.port.start(second, fx);
    expect((await exitOf(stage, request.id))?.exitCode).toBe(0);
  });

  it('destroying one container does not touch another', async () => {
    const stage = of();
    const [one, two] = [await started(stage, 'speaks'), await started(stage, 'speaks')];
    await stage.port.destroy(one, fx);
    await stage.speak(two);
    expect([await factsOf(stage, two.id), stage.lines(two).current]).toMatchObject([
      { process: 'running', init: two.init },
      [1, 2],
    ]);
  });

  it('starting the pause process twice gives one process, and destroying it twice succeeds', async () => {
    const { port, pause } = of();
    await port.destroyPause(pause, fx);
    const process = await port.startPause(pause, fx);
    expect(await port.startPause(pause, fx)).toStrictEqual(process);
    expect([port.isAlive(process), await port.observe(fx)]).toStrictEqual([
      true,
      { containers: [], pauses: [{ id: pause.id, process }] },
    ]);
    await port.destroyPause(pause, fx);
    await port.destroyPause(pause, fx);
    expect([port.isAlive(process), await port.observe(fx)]).toStrictEqual([
      false,
      { containers: [], pauses: [] },
    ]);
  });

  it('F85 a killed pause process is observed as leftovers without a process, and can be started again', async () => {
    const stage = of();
    const { port, pause } = stage;
    const first = await port.startPause(pause, fx);
    stage.killPause(first);
    // not `isAlive`: a process that has begun to exit exists until the kernel has closed its files
    await stage.until(async () =>
      (await port.observe(fx)).pauses.every(({ process }) => process === undefined),
    );
    expect((await port.observe(fx)).pauses).toStrictEqual([{ id: pause.id, process: undefined }]);
    const second = await port.startPause(pause, fx);
    expect([port.isAlive(first), port.isAlive(second)]).toStrictEqual([false, true]);
    await port.destroyPause(pause, fx);
  });

  it('a new driver observes existing containers and goes on with them', async () => {
    const stage = of();
    const [waits, runs] = [await created(stage, stage.container('zero')), await started(stage, 'speaks')];
    const process = await stage.port.startPause(stage.pause, fx);
    await stage.restart();
    const { port } = stage;
    expect([await factsOf(stage, waits.id), await factsOf(stage, runs.id)]).toMatchObject([
      { process: 'created', init: waits.init, monitorAlive: true },
      { process: 'running', init: runs.init, monitorAlive: true },
    ]);
    expect((await port.observe(fx)).pauses).toStrictEqual([{ id: stage.pause.id, process }]);
    expect(await port.startPause(stage.pause, fx)).toStrictEqual(process);
    port.watch(waits);
    await port.start(waits, fx);
    expect((await exitOf(stage, waits.id))?.exitCode).toBe(0);
    await port.destroy(runs, fx);
    await port.destroyPause(stage.pause, fx);
    expect((await port.observe(fx)).pauses).toStrictEqual([]);
  });
});
