/** What hangs, fails or is given up: the kind of the fault, and that destroy takes away whatever was left. */
import { expect, it } from 'vitest';
import type { EffectContext } from '../../src/ports/effect.ts';
import type { RuntimePort } from '../../src/ports/runtime.ts';
import { abortedKind, created, exitOf, factsOf, fx, kindOf, started } from './runtime-stage.ts';
import type { Running, RuntimeStage, Verb } from './runtime-stage.ts';
import { describeCases } from './suite.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS, PROGRAM_MS } from '../support/patience.ts';

/** Bound of a call that hangs, ms: none that works takes as long on a slow machine as this is short. */
const SHORT_MS = 500;

type Call = (port: RuntimePort, one: Running, effect: EffectContext) => Promise<unknown>;

/** What is called, on a container made how far. */
const CALLS: readonly (readonly [Verb, 'bundle' | 'created' | 'running' | 'ended', Call])[] = [
  ['create', 'bundle', (port, one, effect) => port.create(one, effect)],
  ['start', 'created', (port, one, effect) => port.start(one, effect)],
  [
    'update',
    'running',
    (port, one, effect) =>
      port.update(
        {
          ...one,
          resources: { ...one.spec.resources, memoryLimitBytes: 1n << 30n },
          from: one.spec.resources,
        },
        effect,
      ),
  ],
  ['delete', 'ended', (port, one, effect) => port.delete(one, effect)],
];

async function made(stage: RuntimeStage, how: 'bundle' | 'created' | 'running' | 'ended'): Promise<Running> {
  if (how === 'running') return started(stage, 'speaks');
  if (how === 'created') return created(stage, stage.container('speaks'));
  if (how === 'ended') {
    const one = await started(stage, 'zero');
    await exitOf(stage, one.id);
    return one;
  }
  const request = stage.container('speaks');
  await stage.port.writeBundle(request, fx);
  return { ...request, init: { pid: 1, startTicks: 0n, bootId: '' } };
}

/** Cases of the suite. */
export const faultCases = describeCases<RuntimeStage>((of) => {
  it.each(CALLS)(
    'F33 F34 a %s that hangs is timedOut, an aborted one cancelled, a failing one outside',
    async (verb, how, call) => {
      const stage = of();
      for (const [trouble, kind] of [
        ['hangs', 'timedOut'],
        ['hangs', 'cancelled'],
        ['fails', 'outside'],
      ] as const) {
        const one = await made(stage, how);
        stage.spoil(verb, trouble);
        const ended =
          kind === 'cancelled'
            ? await abortedKind(stage, (effect) => call(stage.port, one, effect))
            : await kindOf(call(stage.port, one, fxOf(trouble === 'hangs' ? SHORT_MS : EVENT_MS)));
        stage.heal();
        expect([verb, ended]).toStrictEqual([verb, kind]);
        // a failed create leaves no process; other calls leave the one that was there
        if (verb === 'create')
          expect(await factsOf(stage, one.id)).toMatchObject({
            process: 'gone',
            init: undefined,
            monitorAlive: false,
          });
        if (verb === 'update')
          expect(await factsOf(stage, one.id)).toMatchObject({
            process: 'running',
            init: one.init,
            monitorAlive: true,
          });
        await stage.port.destroy(one, fx);
        expect(await factsOf(stage, one.id)).toBeUndefined();
      }
    },
  );

  it.each(['create', 'start', 'delete'] as const)(
    'after a %s that failed the same call succeeds once the runtime works, or all can be destroyed',
    async (verb) => {
      const stage = of();
      const found = CALLS.find(([name]) => name === verb);
      if (found === undefined) throw new Error(`no call ${verb}`);
      const [, how, call] = found;
      const one = await made(stage, how);
      stage.spoil(verb, 'fails');
      expect(await kindOf(call(stage.port, one, fx))).toBe('outside');
      stage.heal();
      // whether it landed before it failed is known to nobody
      expect(['none', 'outside']).toContain(await kindOf(call(stage.port, one, fx)));
      await stage.port.destroy(one, fx);
      expect(await factsOf(stage, one.id)).toBeUndefined();
    },
  );

  it('F02 a create that hung when the daemon died is undone by the next daemon', async () => {
    const stage = of();
    const one = await made(stage, 'bundle');
    stage.spoil('create', 'hangs');
    let hangs = false;
    stage.whenHanging(() => void (hangs = true));
    void stage.port.create(one, fxOf(PROGRAM_MS)).catch(() => undefined);
    await stage.until(() => hangs);
    stage.heal();
    await stage.restart();
    expect(await factsOf(stage, one.id)).toMatchObject({ leftovers: true });
    await stage.port.destroy(one, fx);
    expect([await factsOf(stage, one.id), stage.reported(one.id)]).toStrictEqual([undefined, []]);
  });

  it('a pause process whose start hangs is timedOut, aborted cancelled, failing outside; nothing runs afterwards', async () => {
    const stage = of();
    const { pause } = stage;
    for (const verb of ['create', 'start'] as const) {
      stage.spoil(verb, 'hangs');
      expect(await kindOf(stage.port.startPause(pause, fxOf(SHORT_MS)))).toBe('timedOut');
      expect(await abortedKind(stage, (effect) => stage.port.startPause(pause, effect))).toBe('cancelled');
      stage.heal();
      stage.spoil(verb, 'fails');
      expect(await kindOf(stage.port.startPause(pause, fx))).toBe('outside');
      stage.heal();
      expect((await stage.port.observe(fx)).pauses).toStrictEqual([]);
    }
    expect(stage.port.isAlive(await stage.port.startPause(pause, fx))).toBe(true);
    await stage.port.destroyPause(pause, fx);
  });
});
