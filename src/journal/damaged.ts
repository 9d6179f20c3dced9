/**
 * Removes secrets, which an earlier version wrote (S91), from the damaged files that are kept. They are
 * overwritten in place: that takes no space on a full disk, and it covers the very blocks where the file
 * system writes in place.
 *
 * Offsets and lengths stay, since they are the evidence. A whole record stays whole: its body is padded with
 * spaces where a secret was removed. Bytes outside of whole records may be any part of a secret, so each
 * becomes an `x`, except zeros: an admin wants to know whether the disk returned zeros or text.
 */
import type { DiskPort } from '../ports/disk.ts';
import type { JournalFold, JournalRecord } from '../ports/journal.ts';
import { encodePlain } from '../base/codec.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { FRAME_BYTES, hasHeader, HEADER_BYTES, recordAt, seal, searchBudget } from './format.ts';

type WithoutSecrets = JournalFold<unknown>['withoutSecrets'];

const MASK = 'x'.charCodeAt(0);
const SPACE = ' '.charCodeAt(0);

/** The masked content of a damaged file, of the same length; equal to `bytes` when nothing needs masking. */
export function maskedBytes(bytes: Uint8Array, withoutSecrets: WithoutSecrets): Uint8Array {
  // not `slice`: on a Buffer it returns another view of the same bytes
  const masked = new Uint8Array(bytes);
  let at = hasHeader(bytes) ? HEADER_BYTES : 0;
  // bytes beyond the budget are not searched for records, so they are masked
  const budget = searchBudget(bytes);
  while (at < bytes.length) {
    const found = recordAt(bytes, at, budget);
    const next = found?.next ?? at + 1;
    if (found === undefined || !cleaned(masked.subarray(at, next), found.record, withoutSecrets))
      mask(masked, at, next);
    at = next;
  }
  return masked;
}

function mask(bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; at += 1) if (bytes[at] !== 0) bytes[at] = MASK;
}

/**
 * Removes the secrets of one record in place. False when the bytes are no record of ours, although the
 * checksum matches.
 */
function cleaned(framed: Uint8Array, record: JournalRecord, withoutSecrets: WithoutSecrets): boolean {
  if (typeof (record as { readonly type?: unknown } | null)?.type !== 'string') return false;
  const clean = withoutSecrets(record);
  if (clean === record) return true;
  const body = new TextEncoder().encode(encodePlain(clean));
  if (body.length > framed.length - FRAME_BYTES) return false;
  framed.fill(SPACE, FRAME_BYTES);
  framed.set(body, FRAME_BYTES);
  seal(framed);
  return true;
}

/** The disk with the files, and the function that removes secrets from a record. */
export interface MaskOptions {
  readonly disk: DiskPort;
  readonly fold: Pick<JournalFold<unknown>, 'withoutSecrets'>;
  readonly log: Log;
}

/**
 * Masks these files. One that can't be overwritten is emptied instead: its name alone still shows that
 * records were lost. Never rejects; the next start tries again what the disk refuses.
 */
export async function maskDamaged(evidence: MaskOptions, names: readonly string[]): Promise<void> {
  const { disk, fold, log } = evidence;
  for (const name of names) {
    try {
      const bytes = await disk.read(name);
      if (bytes === undefined) continue;
      const masked = maskedBytes(bytes, (record) => fold.withoutSecrets(record));
      if (Buffer.compare(bytes, masked) === 0) continue;
      await writeOver(evidence, name, masked);
    } catch (thrown) {
      log.warn(
        { name, reason: toFault(thrown).message },
        'journal: could not remove secrets from a damaged file',
      );
    }
  }
}

async function writeOver({ disk, log }: MaskOptions, name: string, bytes: Uint8Array): Promise<void> {
  try {
    await disk.writeAgain(name, bytes);
    await syncedAt(disk, name, bytes.length);
  } catch (thrown) {
    log.warn(
      { name, reason: toFault(thrown).message },
      'journal: emptied a damaged file, since its secrets could not be removed',
    );
    await syncedAt(disk, name, 0);
  }
}

/** Cuts the file to this length and syncs it. */
async function syncedAt(disk: DiskPort, name: string, length: number): Promise<void> {
  const file = await disk.openAt(name, length);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
