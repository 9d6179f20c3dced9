/**
 * Admission: what a request for a new sandbox or container does about each actor that has its name. Pure. A kubelet repeats
 * its calls, changes them and counts attempts; this table is the answer to all of that (drawn in test/golden/admission.txt).
 */
import type { HolderPhase } from '../directory/phases.ts';

/** An actor that has the name of a request. */
export interface Holder {
  readonly kind: 'sandbox' | 'container';
  readonly phase: HolderPhase;
  /** A client was handed its id. */
  readonly claimed: boolean;
  /** It was made for a request that is the same in all that counts (same-request.ts). */
  readonly sameRequest: boolean;
  /** Its attempt beside that of the request. */
  readonly attempt: 'lower' | 'same' | 'higher';
}

/**
 * - `ignore`: it is not in the way.
 * - `claim`: the caller gets its id at once.
 * - `join`: the caller waits until it is made and gets its id, also that of one that has ended without a start.
 * - `wait`: it is being undone; once it is gone the names are looked up again.
 * - `undoFirst`: it is undone; once it is gone the names are looked up again.
 * - `cleanUpFirst`: its cleanup, which failed, is tried again; the request is refused where that fails, too.
 * - `supersede`: it is undone, and nobody waits for that.
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

/** What nobody was handed yet is replaced by another request; one that is handed out never is. */
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
  // the same call that comes twice, or again, is given the same answer; the status of the id says how it ended (F37)
  endedUnstarted: {
    claimed: { same: 'join', other: 'refuse' },
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

/** What the request does about this holder of its name. */
export function decide({ kind, phase, claimed, sameRequest, attempt }: Holder): Decision {
  if (attempt === 'higher') return 'ignore';
  if (attempt === 'same')
    return OF_SAME_ATTEMPT[phase][claimed ? 'claimed' : 'unclaimed'][sameRequest ? 'same' : 'other'];
  // a higher attempt means that nobody will come for a lower one that was not handed out (F70); a sandbox that is ready by
  // then is left to the kubelet, which finds it in its lists
  return !claimed && (kind === 'container' || phase === 'beingMade') ? 'supersede' : 'ignore';
}

/** The attempt of a holder beside that of the request. */
export function besideAttempt(holder: number, request: number): Holder['attempt'] {
  if (holder === request) return 'same';
  return holder < request ? 'lower' : 'higher';
}
