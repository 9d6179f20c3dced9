/** Calls that meet on one pod: all pairs, at each moment of one another's work. */
import { describe, expect, it } from 'vitest';
import type { ContainerId, SandboxId } from '../../src/base/ids.ts';
import { containerModel, withItsStops } from '../support/container-model.ts';
import type { ContainerAnswer, Phase } from '../support/container-model.ts';
import { linearize } from '../support/linearize.ts';
import type { Operation } from '../support/linearize.ts';
import { kindOf } from './client.ts';
import { racing } from './race.ts';
import type { Race, Sent } from './race.ts';
import { randomStream } from './random.ts';

type Name = ContainerAnswer['call'];
const NAMES: readonly Name[] = ['start', 'stop', 'remove', 'exec', 'update', 'status', 'end'];
const PHASES: readonly Phase[] = ['created', 'running', 'exited'];
/** Of a container that nobody has updated. */
const NO_SHARES = -1n;

/** The calls of one race; each call notes its answer. */
class OnOne {
  readonly #race: Race;
  readonly #id: ContainerId;
  readonly #sent: {
    readonly call: Name;
    readonly shares: bigint;
    readonly sent: Sent<Partial<ContainerAnswer>>;
  }[] = [];
  #graces = 0;

  constructor(race: Race, id: ContainerId) {
    this.#race = race;
    this.#id = id;
  }

  send(call: Name): Sent<unknown> {
    const shares = BigInt(this.#sent.length + 2);
    const sent =
      call === 'end'
        ? this.#race.happen(() => this.#race.world.kernel.endInit(this.#id, 1))
        : this.#race.send(() => this.#begin(call, shares));
    this.#sent.push({ call, shares, sent });
    return sent;
  }

  async #begin(call: Exclude<Name, 'end'>, shares: bigint): Promise<Partial<ContainerAnswer>> {
    const { client } = this.#race;
    switch (call) {
      case 'start':
        await client.start(this.#id);
        return {};
      case 'stop':
        // with a grace, and without one
        this.#graces += 1;
        await client.stop(this.#id, (this.#graces % 2) * 300);
        return {};
      case 'remove':
        await client.remove(this.#id);
        return {};
      case 'exec':
        await client.exec(this.#id);
        return {};
      case 'update':
        await client.update(this.#id, shares);
        return {};
      case 'status':
        return this.#status();
    }
  }

  async #status(): Promise<Partial<ContainerAnswer>> {
    const view = await this.#race.world.call('ContainerStatus', 1000, async (troupe) =>
      troupe.directory.container(this.#id),
    );
    if (view?.listed !== true) return { outcome: 'notFound' };
    return { phase: view.criState, shares: view.spec.resources.cpuShares ?? NO_SHARES };
  }

  /** Its end can be read. */
  isReported(): boolean {
    return this.#race.world.troupe?.directory.container(this.#id)?.criState === 'exited';
  }

  history(): readonly Operation<ContainerAnswer>[] {
    return this.#sent.map(({ call, shares, sent: { calledAt, answeredAt = Infinity, thrown, value } }) => {
      const outcome = thrown === undefined ? 'ok' : kindOf(thrown);
      const answer = { call, outcome, ...(call === 'update' ? { shares } : {}), ...value } as ContainerAnswer;
      return { calledAt, answeredAt, answer };
    });
  }
}

const shown = (history: readonly Operation<ContainerAnswer>[]): string =>
  history
    .map(
      ({ calledAt, answeredAt, answer }) =>
        `${calledAt}–${answeredAt} ${Object.values(answer).map(String).join(' ')}`,
    )
    .join('; ');

async function inPhase(
  race: Race,
  phase: Phase,
): Promise<{ readonly calls: OnOne; readonly id: ContainerId; readonly end: () => Promise<void> }> {
  const sandboxId = await race.alone(() => race.run('pod'));
  const id = await race.alone(() => race.create(sandboxId, 'main'));
  if (phase !== 'created') await race.alone(() => race.client.start(id));
  if (phase === 'exited') await race.alone(() => race.client.stop(id, 100));
  const calls = new OnOne(race, id);
  const end = async (): Promise<void> => {
    // the last removal wins, whatever came before
    calls.send('remove');
    await race.answers();
    calls.send('status');
    await race.answers();
    const history = calls.history();
    expect(history.at(-1)?.answer, shown(history)).toMatchObject({ call: 'status', outcome: 'notFound' });
    expect(
      linearize(containerModel(phase, NO_SHARES), withItsStops(history)),
      `no order gives these answers: ${shown(history)}`,
    ).toBeDefined();
    await race.alone(() => race.client.removeSandbox(sandboxId));
  };
  return { calls, id, end };
}

/** The second call comes after each number of steps that the first one is at work. Returns how many there are. */
async function atEachMoment(phase: Phase, first: Name, second: Name): Promise<number> {
  let moments = 0;
  for (let done = false; !done; moments += 1) {
    await racing(
      `${first} and ${second} of one that is ${phase}, ${moments} steps apart`,
      1,
      async (race) => {
        const { calls, end } = await inPhase(race, phase);
        const sent = calls.send(first);
        for (let step = 0; step < moments; step += 1) await race.step();
        done = sent.answeredAt !== undefined || (first === 'end' && calls.isReported());
        calls.send(second);
        await end();
      },
    );
  }
  return moments;
}

describe('F71 concurrent Start, Stop, Remove, Exec, Update and Status of one container', () => {
  const phases = PHASES.flatMap((phase) => NAMES.map((first) => [phase, first] as const)).filter(
    ([phase, first]) => phase !== 'exited' || first !== 'end',
  );

  it.each(phases)(
    'all pairs: %s, %s overlaps each call at each moment of its work, the final Remove as well; the answers are linearizable',
    async (phase, first) => {
      const moments = [];
      for (const second of NAMES) moments.push(await atEachMoment(phase, first, second));
      expect(Math.min(...moments)).toBeGreaterThan(2);
    },
  );

  it('a start delayed by an update, with a stop before it begins, is refused once the end is reported, and does not wait on', async () => {
    await racing('update, start and stop', 1, async (race) => {
      const { calls, end } = await inPhase(race, 'created');
      calls.send('update');
      const start = calls.send('start');
      calls.send('stop');
      await race.answers();
      expect(kindOf(start.thrown)).toBe('wrongState');
      expect(race.world.scheduler.nowMs).toBeLessThan(60_000);
      await end();
    });
  });

  it('an update within the grace of a stop is in force long before the end', async () => {
    await racing('stop and update', 1, async (race) => {
      const sandboxId = await race.alone(() => race.run('pod'));
      const id = await race.alone(() => race.create(sandboxId, 'main'));
      race.world.kernel.program = () => ({ livesMs: undefined, exitCode: 0, stubborn: true });
      await race.alone(() => race.client.start(id));
      const stop = race.send(() => race.client.stop(id, 60_000));
      await race.until(
        () => race.world.troupe?.directory.container(id)?.path === 'stopping.waiting.grace',
        'it has its grace',
      );
      for (const shares of [7n, 8n]) {
        const update = race.send(() => race.client.update(id, shares));
        await race.until(() => update.answeredAt !== undefined, 'the update has its answer');
        expect([update.thrown, stop.answeredAt]).toEqual([undefined, undefined]);
        expect(race.world.troupe?.directory.container(id)?.spec.resources.cpuShares).toBe(shares);
      }
      expect(race.world.scheduler.nowMs).toBeLessThan(60_000);
      await race.answers();
      expect(stop.thrown).toBeUndefined();
      await race.alone(() => race.client.removeSandbox(sandboxId));
    });
  });

  it.each(['stop', 'remove', 'end', 'update', 'status'] as const)(
    'an update within the grace of a stop overlaps %s at each moment of its work; the answers are linearizable',
    async (second) => {
      for (let moments = 0, done = false; !done; moments += 1) {
        await racing(`update within the grace and ${second}, ${moments} steps apart`, 1, async (race) => {
          race.world.kernel.program = () => ({ livesMs: undefined, exitCode: 0, stubborn: true });
          const { calls, id, end } = await inPhase(race, 'running');
          calls.send('stop');
          await race.until(
            () => race.world.troupe?.directory.container(id)?.path === 'stopping.waiting.grace',
            'it has its grace',
          );
          const update = calls.send('update');
          for (let step = 0; step < moments; step += 1) await race.step();
          done = update.answeredAt !== undefined;
          calls.send(second);
          await end();
        });
      }
    },
  );

  it('all calls at once, some twice, in any order, are linearizable', async () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const random = randomStream(seed, 'calls');
      const phase = random.pick(PHASES);
      await racing(`calls on one that is ${phase}`, seed, async (race) => {
        const { calls, end } = await inPhase(race, phase);
        for (let count = 2 + random.int(7); count > 0; count -= 1) {
          // removals end all others soon: they come last as a rule
          calls.send(random.pick(random.chance(0.2) ? NAMES : NAMES.filter((name) => name !== 'remove')));
          for (let steps = random.int(2) * random.int(12); steps > 0; steps -= 1) await race.step();
        }
        await end();
      });
    }
  });
});

describe('F72 a sandbox that is ended while it or a container of it is being made', () => {
  /** The second call at each moment of the first; returns the answers to the first, one per moment. */
  async function answersOf<T>(
    name: string,
    begin: (race: Race) => Promise<{
      readonly first: () => Promise<T>;
      readonly second: () => Promise<unknown>;
      readonly end: (answer: Sent<T>) => Promise<void>;
    }>,
  ): Promise<string[]> {
    const answers: string[] = [];
    for (let done = false; !done;) {
      await racing(`${name}, ${answers.length} steps apart`, 1, async (race) => {
        const { first, second, end } = await begin(race);
        const sent = race.send(first);
        for (let step = 0; step < answers.length; step += 1) await race.step();
        done = sent.answeredAt !== undefined;
        const beside = race.send(second);
        await race.answers();
        expect(beside.thrown, 'it has to end well').toBeUndefined();
        answers.push(sent.thrown === undefined ? 'ok' : kindOf(sent.thrown));
        await end(sent);
      });
    }
    expect(answers.at(-1)).toBe('ok');
    return answers;
  }

  const ENDS = ['stopSandbox', 'removeSandbox'] as const;
  /** The one sandbox there is, listed or not. */
  const only = (race: Race): SandboxId | undefined => race.world.troupe?.directory.sandboxes()[0]?.id;
  const livingOf = (race: Race): string[] =>
    [...race.world.kernel.processes.values()].map(({ kind }) => kind);

  it.each(ENDS)(
    '%s at each moment of RunPodSandbox: the sandbox is undone or reported, never partial; the name is free again',
    async (how) => {
      const answers = await answersOf<SandboxId>(`RunPodSandbox and ${how}`, async (race) => ({
        first: () => race.run('pod'),
        second: async () => {
          const id = only(race);
          if (id !== undefined) await race.client[how](id);
        },
        end: async ({ value }) => {
          const { directory } = race.world.troupe ?? expect.fail('no daemon');
          if (value !== undefined && how === 'stopSandbox') {
            // it was handed out: stopped, and there
            expect(directory.sandbox(value)).toMatchObject({ ready: false, listed: true });
            await race.alone(() => race.client.removeSandbox(value));
          }
          if (only(race) !== undefined)
            await race.alone(() => race.client.removeSandbox(only(race) ?? expect.fail('gone')));
          expect(directory.sandboxes()).toEqual([]);
          expect(race.world.kernel.objects()).toEqual([]);
          const again = await race.alone(() => race.run('pod'));
          expect(again).not.toBe(value);
          await race.alone(() => race.client.removeSandbox(again));
        },
      }));
      expect(answers).toContain('superseded');
      expect(new Set(answers)).toEqual(new Set(['ok', 'superseded']));
    },
  );

  it.each(ENDS)(
    '%s at each moment of CreateContainer: the container is refused or ended; nothing runs in the end, and no further one is made',
    async (how) => {
      const answers = await answersOf<ContainerId>(`CreateContainer and ${how}`, async (race) => {
        const sandboxId = await race.alone(() => race.run('pod'));
        return {
          first: () => race.create(sandboxId, 'main'),
          second: () => race.client[how](sandboxId),
          end: async ({ value }) => {
            expect(livingOf(race)).toEqual([]);
            const refused = race.send(() => race.create(sandboxId, 'other'));
            await race.answers();
            expect(kindOf(refused.thrown)).toBe(how === 'stopSandbox' ? 'wrongState' : 'notFound');
            if (value !== undefined && how === 'stopSandbox')
              expect(race.world.troupe?.directory.container(value)).toMatchObject({
                criState: 'exited',
                listed: true,
              });
            await race.alone(() => race.client.removeSandbox(sandboxId));
            expect(race.world.kernel.objects()).toEqual([]);
          },
        };
      });
      expect(answers).toContain('superseded');
      expect(
        [...new Set(answers)].filter((one) => !['ok', 'superseded', 'wrongState', 'notFound'].includes(one)),
      ).toEqual([]);
    },
  );

  it.each(ENDS)(
    '%s at each moment of StartContainer: the start succeeds or is refused; nothing runs in the end',
    async (how) => {
      const answers = await answersOf<void>(`StartContainer and ${how}`, async (race) => {
        const sandboxId = await race.alone(() => race.run('pod'));
        const id = await race.alone(() => race.create(sandboxId, 'main'));
        return {
          first: () => race.client.start(id),
          second: () => race.client[how](sandboxId),
          end: async () => {
            expect(livingOf(race)).toEqual([]);
            await race.alone(() => race.client.removeSandbox(sandboxId));
            expect(race.world.kernel.objects()).toEqual([]);
          },
        };
      });
      expect([...new Set(answers)].filter((one) => !['ok', 'wrongState', 'notFound'].includes(one))).toEqual(
        [],
      );
    },
  );
});
