/**
 * Admission: what a request for a new sandbox or container does about each actor that already has its name. Pure. The
 * table covers that a kubelet repeats calls, changes them between tries and counts attempts.
 * test/golden/admission/admission.txt shows all of it.
 */
import type { HolderPhase } from '../directory/phases.ts';

/** An actor that has the name of a request. */
export interface Holder {
  readonly kind: 'sandbox' | 'container';
  readonly phase: HolderPhase;
  /** Its id was returned to a client. */
  readonly claimed: boolean;
  /** It was made for an equivalent request (same-request.ts). */
  readonly sameRequest: boolean;
  /** Its attempt compared with the request's. */
  readonly attempt: 'lower' | 'same' | 'higher';
}

/**
 * - `ignore`: it does not affect the request.
 * - `claim`: the caller gets its id at once.
 * - `join`: the caller waits until it is made and gets its id, even if it exited before its start.
 * - `wait`: its undo is under way; the name is looked up again after that.
 * - `undoFirst`: its undo is begun now; the name is looked up again after that.
 * - `cleanUpFirst`: its failed cleanup is tried again; if it fails again, the request is refused.
 * - `supersede`: its undo is begun now, and the request does not wait for that.
 * - `refuse`: the name is taken (AlreadyExists).
 */
export type Decision =
  | 'ignore'
  | 'claim'
  | 'join'
  | 'wait'
  | 'undoFirst'
  | 'cleanUpFirst'
  | 'supersede'
  | 'refuse';

interface Row {
  readonly claimed: { readonly same: Decision; readonly other: Decision };
  readonly unclaimed: { readonly same: Decision; readonly other: Decision };
}

const always = (decision: Decision): Row => ({
  claimed: { same: decision, other: decision },
  unclaimed: { same: decision, other: decision },
});

/** A different request replaces a holder only while no client knows the holder's id. */
const OF_SAME_ATTEMPT: Readonly<Record<HolderPhase, Row>> = {
  free: always('ignore'),
  beingMade: {
    claimed: { same: 'join', other: 'undoFirst' },
    unclaimed: { same: 'join', other: 'undoFirst' },
  },
  created: {
    claimed: { same: 'claim', other: 'claim' },
    unclaimed: { same: 'claim', other: 'undoFirst' },
  },
  inUse: always('claim'),
  // a repeated call gets the same answer as the first, as of `created`; the status of the id reports the exit (F37)
  endedUnstarted: {
    claimed: { same: 'join', other: 'join' },
    unclaimed: { same: 'join', other: 'undoFirst' },
  },
  ended: {
    claimed: { same: 'refuse', other: 'refuse' },
    unclaimed: { same: 'join', other: 'undoFirst' },
  },
  beingUndone: always('wait'),
  cleanupPending: always('cleanUpFirst'),
  taken: always('refuse'),
};

/** The decision about one holder of the requested name. */
export function decide({ kind, phase, claimed, sameRequest, attempt }: Holder): Decision {
  if (attempt === 'higher') return 'ignore';
  if (attempt === 'same')
    return OF_SAME_ATTEMPT[phase][claimed ? 'claimed' : 'unclaimed'][sameRequest ? 'same' : 'other'];
  // a higher attempt means that no client will ask for a lower one whose id was never returned (F70); a sandbox that is
  // already ready is left to the kubelet, which finds it in the list of sandboxes
  return !claimed && (kind === 'container' || phase === 'beingMade') ? 'supersede' : 'ignore';
}

/** Compares the attempt of a holder with that of the request. */
export function besideAttempt(holder: number, request: number): Holder['attempt'] {
  if (holder === request) return 'same';
  return holder < request ? 'lower' : 'higher';
}
