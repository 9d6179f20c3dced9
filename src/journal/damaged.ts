/**
 * Damaged files that are kept, without the secrets that an earlier version wrote (S91). They are written in place: that
 * takes no space on a full disk, and covers the very blocks, where the file system writes in place.
 *
 * Offsets and lengths stay, since they are the evidence: a record that is whole stays whole, its body filled up with
 * spaces where something was taken out. What belongs to no whole record may be any part of a secret, so each of its bytes
 * becomes an `x`, but for zeros: whether a disk brought zeros or text back is what an admin wants to know.
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

/** What a damaged file may hold, of the same length; equal to `bytes` when they hold no more than that. */
export function maskedBytes(bytes: Uint8Array, withoutSecrets: WithoutSecrets): Uint8Array {
  // not `slice`, which gives another view of the same bytes where they are a Buffer
  const masked = new Uint8Array(bytes);
  let at = hasHeader(bytes) ? HEADER_BYTES : 0;
  // beyond it nothing counts as a record: it is masked
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

/** False for what is a record by its checksum alone. */
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

/** Where the files are, and what is taken out of them. */
export interface Evidence {
  readonly disk: DiskPort;
  readonly fold: Pick<JournalFold<unknown>, 'withoutSecrets'>;
  readonly log: Log;
}

/**
 * Masks these files. One that can't be written is emptied instead: its name alone says that facts were lost. Never rejects;
 * what the disk refuses is tried again at the next start.
 */
export async function maskDamaged(evidence: Evidence, names: readonly string[]): Promise<void> {
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
        'journal: secrets could not be taken out of a damaged file',
      );
    }
  }
}

async function writeOver({ disk, log }: Evidence, name: string, bytes: Uint8Array): Promise<void> {
  try {
    await disk.writeAgain(name, bytes);
    await syncedAt(disk, name, bytes.length);
  } catch (thrown) {
    log.warn(
      { name, reason: toFault(thrown).message },
      'journal: a damaged file is emptied, since its secrets could not be taken out',
    );
    await syncedAt(disk, name, 0);
  }
}

/** The file, cut to this length and durable. */
async function syncedAt(disk: DiskPort, name: string, length: number): Promise<void> {
  const file = await disk.openAt(name, length);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
