/** What is kept of a request on the disk. Pure. */
import type { JournalRecord } from './ports/journal.ts';
import type { ContainerSpec, RecordedSpec } from './ports/specs.ts';

/** The spec as the journal may hold it: without the program, whose words and values may be secrets (S91). */
export function recordedSpec({ command: _command, args: _args, env: _env, ...spec }: ContainerSpec): RecordedSpec {
  return spec;
}

/**
 * The record without the program, which earlier versions wrote into it (S91); the same object where it has none.
 */
export function withoutSecrets(record: JournalRecord): JournalRecord {
  if (record.type !== 'container.intent') return record;
  const spec: object = record.spec;
  if (!('command' in spec) && !('args' in spec) && !('env' in spec)) return record;
  return { ...record, spec: recordedSpec(record.spec) };
}
