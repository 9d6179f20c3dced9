/** How long the start of a pod or a container took, from its recorded state changes. Pure. */
import type { ContainerState, SandboxState } from '../actors/directory/states.ts';
import type { Change } from './recorder.ts';

export interface StartTime {
  readonly ms: number;
  /** State in which it stayed longest. */
  readonly longest: string;
}

type Kind = 'sandbox' | 'container';

/** The parts of a start: from the first change into `from`, or from the birth, until the first into `to`. */
const PARTS: Readonly<Record<Kind, readonly { readonly from: string; readonly to: string }[]>> = {
  sandbox: [{ from: '', to: 'ready' satisfies SandboxState }],
  container: [
    { from: '', to: 'created' satisfies ContainerState },
    // the client takes the time between these two
    { from: 'starting' satisfies ContainerState, to: 'running' satisfies ContainerState },
  ],
};

/** Only one that is made passes it: an actor that a new instance of the daemon recovers does not. */
const MADE: SandboxState & ContainerState = 'provisioning';

/** Undefined when the history lacks the creation or the start has not ended. */
export function startTime(kind: Kind, history: readonly Change[]): StartTime | undefined {
  if (history[0]?.from !== '' || !history.some(({ to }) => topOf(to) === MADE)) return undefined;
  let ms = 0;
  let longest = { path: '', ms: -1 };
  for (const { from, to } of PARTS[kind]) {
    const first = from === '' ? 0 : history.findIndex((change) => topOf(change.to) === from);
    const last = history.findIndex((change) => topOf(change.to) === to);
    if (first < 0 || last < first) return undefined;
    for (let at = first; at < last; at += 1) {
      const lasted = lastedMs(history, at);
      ms += lasted;
      if (lasted > longest.ms) longest = { path: history[at]?.to ?? '', ms: lasted };
    }
  }
  return { ms, longest: longest.path };
}

function lastedMs(history: readonly Change[], at: number): number {
  const [from, next] = [history[at], history[at + 1]];
  return from === undefined || next === undefined ? 0 : Number(next.atNs - from.atNs) / 1e6;
}

const topOf = (path: string): string => path.split('.', 1)[0] ?? '';
