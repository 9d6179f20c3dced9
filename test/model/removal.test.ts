// What a client may count on, from every state that a sandbox or container can be in.
import { describe, expect, it } from 'vitest';
import { explore } from '../../scripts/support/charts/explore.ts';
import type { Exploration, Place } from '../../scripts/support/charts/explore.ts';
import { charted } from '../../scripts/support/charts/machines.ts';
import { afterCommand, canReach, isResting } from './support.ts';

/** Sent again when an effect had failed before the command came: the caller gets that fault and tries again. */
function twice(exploration: Exploration, place: Place, command: string): Place {
  const end = afterCommand(exploration, place, command);
  const hasFault = (end.snapshot.context as { readonly fault: unknown }).fault !== undefined;
  return end.path === 'gone' || !hasFault ? end : afterCommand(exploration, end, command);
}

const machineOf = (name: string): (typeof charted)[number] =>
  charted.find((one) => one.name === name) ?? expect.fail(`no machine ${name}`);

describe('container', () => {
  const exploration = explore(machineOf('container'));
  const places = [...exploration.places.values()].filter(({ snapshot }) => snapshot.status === 'active');
  const contextOf = (place: Place): { readonly exit: unknown; readonly fault: unknown } =>
    place.snapshot.context as never;

  it('an exit reported during a kill is kept: finishing always follows', () => {
    const isMet = ({ path }: Place): boolean =>
      path.startsWith('stopping.') || path === 'running' || path === 'created';
    // an update of one that has its grace is let end first
    const isHeld = ({ path }: Place): boolean => path.startsWith('stopping.waiting.updating.');
    const afterIts = (ended: typeof places): (Place | undefined)[] =>
      ended.map((place) =>
        exploration.places.get(place.steps.find((step) => step.event.type === 'container.exited')?.to ?? ''),
      );
    const [at, held] = [places.filter((place) => isMet(place) && !isHeld(place)), places.filter(isHeld)];
    expect([at.length > 0, held.length > 0]).toEqual([true, true]);
    expect([...new Set(afterIts(at).map((place) => place?.path))]).toEqual([
      'finishing.{record.recording,release.notifying}',
    ]);
    const follows = canReach(
      exploration,
      ({ path }) => path.startsWith('finishing.'),
      (step) => step.kind !== 'command',
    );
    expect(
      afterIts(held).filter(
        (place) => place === undefined || contextOf(place).exit === undefined || !follows.has(place.key),
      ),
    ).toEqual([]);
  });

  it('no exit is shown before it is recorded as a fact', () => {
    expect(places.filter((place) => place.path === 'exited' && contextOf(place).exit === undefined)).toEqual(
      [],
    );
  });

  it('Remove leads to gone when every effect works, from every state without a process to wait for', () => {
    const calm = places.filter(
      (place) =>
        ['exited', 'cleanupPending'].includes(place.path) ||
        /^(removing|unwinding|recordingIntent)/u.test(place.path),
    );
    const wrong = calm.filter((place) => twice(exploration, place, 'container.remove').path !== 'gone');
    expect([...new Set(wrong.map((place) => place.path))]).toEqual([]);
  });

  it('Remove of an ended container leads to gone without another call', () => {
    // an exit that could not be recorded is reported first, and the next call goes on
    const ending = places.filter(
      (place) => place.path.startsWith('finishing.') && contextOf(place).fault === undefined,
    );
    expect(ending.length).toBeGreaterThan(0);
    const wrong = ending.filter(
      (place) => afterCommand(exploration, place, 'container.remove').path !== 'gone',
    );
    expect([...new Set(wrong.map((place) => place.key))]).toEqual([]);
  });

  it('a stop waits for the exit of the process and nothing else', () => {
    const stopping = places.filter((place) => place.path.startsWith('stopping.'));
    const good = canReach(
      exploration,
      isResting,
      (step) => step.kind !== 'command' || step.event.type === 'container.exited',
    );
    expect(stopping.filter((place) => !good.has(place.key))).toEqual([]);
  });
});

describe('sandbox', () => {
  const exploration = explore(machineOf('sandbox'));
  const places = [...exploration.places.values()].filter(({ snapshot }) => snapshot.status === 'active');
  const begunOf = (place: Place): readonly string[] =>
    (place.snapshot.context as { readonly begun: readonly string[] }).begun;

  it('Remove leads to gone when every effect works, from every state', () => {
    const wrong = places.filter((place) => twice(exploration, place, 'sandbox.remove').path !== 'gone');
    expect([...new Set(wrong.map((place) => place.key))]).toEqual([]);
  });

  it('Stop leads to notReady or gone, with nothing left that Stop undoes', () => {
    const wrong = places.filter((place) => {
      const end = twice(exploration, place, 'sandbox.stop');
      const cleanupPending = begunOf(end).some((step) => ['pause', 'network', 'namespaces'].includes(step));
      return end.path !== 'gone' && (end.path !== 'notReady' || cleanupPending);
    });
    expect([...new Set(wrong.map((place) => place.key))]).toEqual([]);
  });

  it('is gone only when every step is undone', () => {
    const gone = [...exploration.places.values()].filter(
      (place) => place.path === 'gone' && begunOf(place).length > 0,
    );
    expect(gone).toEqual([]);
  });

  it('unwinds only when no step is in flight: the effects of provisioning have all ended', () => {
    const leaving = places
      .filter((place) => place.path.startsWith('provisioning.'))
      .flatMap((place) =>
        place.steps
          .filter((step) => exploration.places.get(step.to)?.path.startsWith('provisioning.') === false)
          .map((step) => ({ place, step })),
      );
    const inFlight = (path: string): number =>
      path.split(',').filter((region) => !region.replace('}', '').endsWith('.done')).length;
    expect(leaving.length).toBeGreaterThan(0);
    expect(
      leaving.filter(({ place, step }) => inFlight(place.path) !== 1 || step.kind === 'command'),
    ).toEqual([]);
  });
});
