// The flight recorder in the simulation: an inspector that records every event of every boot.
import type { InspectionEvent } from 'xstate';
import type { FlightEntry } from '../../src/introspection/flight/entries.ts';
import { FlightRecorder } from '../../src/introspection/flight/flight.ts';
import { onTransition } from '../../src/introspection/transitions.ts';

export interface RecordedFlight {
  /** For `WorldOptions.inspect`. */
  readonly inspect: (event: InspectionEvent) => void;
  /** What was recorded, as it is read back from a file. */
  readonly entries: () => readonly FlightEntry[];
}

/** Milliseconds from one event to the next: some hundred make a segment. What is replayed is their order. */
const STEP_MS = 5000;

export function recordFlight(): RecordedFlight {
  let now = 0;
  const clock = { nowNs: () => 1n, monoMs: () => (now += STEP_MS) };
  const flight = new FlightRecorder({ clock, version: 'simulation', pid: 1 });
  const entries: FlightEntry[] = [];
  const keep = (): void => void entries.push(...flight.drain());
  return {
    inspect: onTransition(
      () => undefined,
      (seen, cause) => {
        flight.event(seen, cause);
        keep();
      },
    ),
    entries: () => JSON.parse(JSON.stringify(entries)) as FlightEntry[],
  };
}
