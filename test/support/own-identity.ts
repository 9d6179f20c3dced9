import { processIdentity } from '../../src/host/process/process-identity.ts';
import { toPortIdentity } from '../../src/oci/runtime/container/parts.ts';
import type { ProcessIdentity } from '../../src/ports/journal.ts';

/** This process, as the journal names one. */
export function ownIdentity(): ProcessIdentity {
  const identity = processIdentity(process.pid);
  if (identity === undefined) throw new Error('no /proc of this process');
  return toPortIdentity(identity);
}
