/** A recording as the replay's page reads it: the state of each actor at any of its events. Pure. */

/** Events shown of the chosen actor. */
const EVENTS_SHOWN = 200;

export class Recording {
  #byActor = new Map();

  constructor({ charts, actors, entries, nowMs, wallMs }) {
    this.charts = new Map(charts.map((chart) => [chart.id, chart]));
    this.actors = actors;
    this.events = entries.filter((entry) => entry.kind === 'event').sort((a, b) => a.atMs - b.atMs);
    this.spans = entries.filter((entry) => entry.kind === 'call' || entry.kind === 'effect');
    this.boots = entries.filter((entry) => entry.kind === 'boot').map((entry) => entry.atMs);
    this.nowMs = nowMs;
    this.wallMs = wallMs;
    for (const event of this.events) {
      const known = this.#byActor.get(event.actor);
      if (known === undefined) this.#byActor.set(event.actor, [event]);
      else known.push(event);
    }
  }

  /** Time of the event with this number; the recording's end without events. */
  timeOf(number) {
    return this.events[number]?.atMs ?? this.nowMs;
  }

  /** Wall clock of a time, milliseconds since the epoch. */
  wallOf(atMs) {
    return this.wallMs - (this.nowMs - atMs);
  }

  /** The events of an actor until then, oldest first, from the last boot of the daemon on. */
  eventsOf(actor, atMs) {
    const boot = this.boots.filter((one) => one <= atMs).at(-1) ?? -Infinity;
    return (this.#byActor.get(actor) ?? []).filter((event) => event.atMs <= atMs && event.atMs >= boot);
  }

  /** The actors that exist then or have just ended: {actor, state, settled, isGone}. */
  at(atMs) {
    return this.actors.flatMap((actor) => {
      const last = this.eventsOf(actor.address, atMs).at(-1);
      if (last === undefined) return [];
      const isGone = last.to === 'gone' || last.to === 'present' || last.to === 'absent';
      return [{ actor, state: last.to, settled: last.settled, isGone }];
    });
  }

  /** Calls and effects of an actor that are in progress then. */
  progressOf(actor, atMs) {
    return this.spans.filter(
      (span) =>
        span.atMs <= atMs &&
        (span.endMs ?? Infinity) > atMs &&
        (span.kind === 'effect' ? span.actor === actor : span.actors.includes(actor)),
    );
  }

  /** The last events of an actor until then, newest first. */
  historyOf(actor, atMs) {
    return this.eventsOf(actor, atMs).slice(-EVENTS_SHOWN).reverse();
  }
}
