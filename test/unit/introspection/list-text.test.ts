// List as text: the same as the message says, kept while it is true, and made in pieces.
import { create, fromJsonString, toJson } from '@bufbuild/protobuf';
import { createEmptyActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import type { View } from '../../../src/actors/directory/views.ts';
import { introspectionLimits } from '../../../src/introspection/bounds.ts';
import { ListResponseSchema } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import type { ListResponse } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import { describeActor } from '../../../src/introspection/describe.ts';
import { ListTexts } from '../../../src/introspection/list-text.ts';
import { Recorder } from '../../../src/introspection/recorder.ts';
import type { IntrospectionOptions } from '../../../src/introspection/service.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { containerId, containerView, sandboxId, sandboxView } from '../cri/stage.ts';

function stage() {
  const clock = new HandClock();
  const [recorder, directory, activity] = [new Recorder(clock), new Directory(), new Activity(clock)];
  recorder.attach(directory);
  let hasRecovered = true;
  const troupe = { directory, activity, hasRecovered: () => hasRecovered } as Partial<Troupe> as Troupe;
  const recovers = (): void => void (hasRecovered = false);
  const options = {
    recorder,
    activity,
    clock,
    troupe,
  } as Partial<IntrospectionOptions> as IntrospectionOptions;
  const texts = new ListTexts(options);
  const put = (view: View): void => directory.put(view, createEmptyActor());
  const list = async (kind = ''): Promise<ListResponse> =>
    fromJsonString(ListResponseSchema, await texts.answer(kind));
  return { clock, recorder, directory, activity, options, put, list, recovers };
}

const pod = sandboxView(sandboxId('a'));
const app = containerView(containerId('c'));

const asked = (from: string, to: string) => ({
  address: app.address,
  from,
  to,
  on: 'test',
  cause: '',
  settled: true,
  final: false,
});

describe('the text of List', () => {
  it('matches the message, and has the requested kind only', async () => {
    const { put, list, options, recorder } = stage();
    expect((await list()).actors).toEqual([]);
    put(pod);
    put(app);
    recorder.note(asked('created', 'running'));
    const message = create(ListResponseSchema, {
      actors: [await describeActor(options, pod), await describeActor(options, app)],
      seq: recorder.seq,
    });
    expect(toJson(ListResponseSchema, await list())).toEqual(toJson(ListResponseSchema, message));
    expect((await list('container')).actors.map(({ address }) => address)).toEqual([app.address]);
    expect((await list('pull')).actors).toEqual([]);
  });

  it('says while the daemon recovers that pods and containers may be missing', async () => {
    const { put, list, recovers } = stage();
    put(pod);
    expect(await list()).toMatchObject({ recovering: false });
    recovers();
    expect(await list()).toMatchObject({ recovering: true, actors: [{ address: pod.address }] });
  });

  it('changes with the view, its time and the waits', async () => {
    const { put, list, recorder, activity, clock } = stage();
    put(app);
    const before = (await list()).actors[0];
    await clock.advance(1000);
    recorder.note(asked('created', 'running'));
    const after = (await list()).actors[0];
    expect(after?.sinceNs).toBeGreaterThan(before?.sinceNs ?? 0n);
    put({ ...app, path: 'stopping.killing', state: 'stopping', settled: false });
    expect((await list()).actors[0]).toMatchObject({ state: 'stopping.killing', waits: [] });
    const end = new AbortController();
    const effect = activity.run(
      app.address,
      'kill',
      30_000,
      end.signal,
      (fx) => new Promise<void>((resolve) => fx.signal.addEventListener('abort', () => resolve())),
    );
    expect((await list()).actors[0]?.waits).toMatchObject([{ effect: 'kill' }]);
    end.abort();
    await effect.catch(() => undefined);
    expect((await list()).actors[0]?.waits).toEqual([]);
  });

  it('of many actors is made in pieces between which the event loop runs; a cached one needs none', async () => {
    const { put, list, clock } = stage();
    const count = 3 * introspectionLimits.actorsPerTurn;
    for (let index = 0; index < count; index += 1) put(containerView(containerId(index.toString(16))));
    let isDone = false;
    const first = list().then((answer) => {
      isDone = true;
      return answer;
    });
    await turns();
    expect(isDone).toBe(false);
    for (let turn = 0; turn < 3; turn += 1) await clock.advance(1);
    expect((await first).actors).toHaveLength(count);
    // without a turn of the clock
    expect((await list()).actors).toHaveLength(count);
  });
});
