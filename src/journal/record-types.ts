/** The types of records that this version reads, and the journal's format since which each exists. */
import type { JournalRecord } from '../ports/journal.ts';

/**
 * A new type needs a new `FORMAT` (format.ts): an older program that met it could neither carry it out nor keep it in
 * its snapshots. Types are never taken out as long as a released version wrote them.
 */
export const RECORD_TYPES: Readonly<Record<JournalRecord['type'], number>> = {
  'sandbox.intent': 1,
  'sandbox.ready': 1,
  'sandbox.stopping': 1,
  'sandbox.stopped': 1,
  'sandbox.removed': 1,
  'container.intent': 1,
  'container.created': 1,
  'container.started': 1,
  'container.stopping': 1,
  'container.updating': 1,
  'container.updated': 1,
  'container.exited': 1,
  'container.removed': 1,
  'image.fetching': 1,
  'image.givenUp': 1,
  'image.present': 1,
  'image.removed': 1,
};

/** Whether this version knows records of the type. */
export function isRecordType(type: string): boolean {
  return Object.hasOwn(RECORD_TYPES, type);
}
