/** What is kept of a request on the disk. Pure. */
import type { ExitFact, JournalRecord } from '../../ports/journal.ts';
import type { ContainerSpec, RecordedSpec } from '../../ports/specs.ts';

/** The spec as the journal may hold it: without the program, whose words and values may be secrets (S91). */
export function recordedSpec({
  command: _command,
  args: _args,
  env: _env,
  ...spec
}: ContainerSpec): RecordedSpec {
  return spec;
}

/**
 * What a failed start says of its reason, as the kernel and the runtimes write it: the rest of their message may quote any word
 * of the command (`exec: "<first word>": …`).
 */
const START_REASONS: readonly string[] = [
  'not found in $PATH',
  'no such file or directory',
  'permission denied',
  'operation not permitted',
  'exec format error',
  'argument list too long',
  'is a directory',
  'not a directory',
  'too many levels of symbolic links',
  'read-only file system',
  'cannot allocate memory',
  'no space left on device',
];

const UNKNOWN_REASON = 'its reason is not kept over a restart of the daemon';

/** The kind of reason that the message of a failed start or exec states, without words of its command; undefined for an unknown one. */
export function startReason(message: string): string | undefined {
  const said = message.toLowerCase();
  return START_REASONS.find((one) => said.includes(one.toLowerCase()));
}

/**
 * The exit as the journal may hold it: of a failed start only the kind of its reason (S91). Whoever asks before the daemon is
 * restarted is answered from memory, with the whole message. The same object where nothing is left out.
 */
export function recordedExit(exit: ExitFact): ExitFact {
  if (exit.observedBy !== 'start') return exit;
  const message = `the start failed: ${startReason(exit.message) ?? UNKNOWN_REASON}`;
  return message === exit.message ? exit : { ...exit, message };
}

/**
 * The record without what earlier versions wrote into it: the program, and words of it in a message (S91); the same object where
 * there is nothing of that.
 */
export function withoutSecrets(record: JournalRecord): JournalRecord {
  if (record.type === 'container.exited') {
    const exit = recordedExit(record.exit);
    return exit === record.exit ? record : { ...record, exit };
  }
  if (record.type !== 'container.intent') return record;
  const spec: object = record.spec;
  if (!('command' in spec) && !('args' in spec) && !('env' in spec)) return record;
  return { ...record, spec: recordedSpec(record.spec) };
}
