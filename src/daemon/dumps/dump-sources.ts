/** What a dump asks: parts of an assembled daemon, none of which waits for anything. */
import type { Troupe } from '../../actors/troupe.ts';
import type { Conditions } from '../../base/conditions.ts';
import type { FlightRecorder } from '../../introspection/flight/flight.ts';
import type { Recorder } from '../../introspection/recorder.ts';
import type { DiskCall } from '../../journal/disk-calls.ts';

export interface DumpSources {
  readonly troupe: Pick<Troupe, 'directory' | 'activity' | 'notReadyReason' | 'pullLayers' | 'images'>;
  readonly recorder: Recorder;
  readonly observability: {
    readonly conditions: Pick<Conditions, 'all'>;
    readonly flight: Pick<FlightRecorder, 'entries' | 'openCalls'>;
  };
  readonly journal: { readonly diskCall: DiskCall | undefined; readonly queued: number };
  /** Open sessions of exec, attach and port-forward. */
  sessions(): number;
}
