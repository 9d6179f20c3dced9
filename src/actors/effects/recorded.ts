/** Removes secrets from what the journal stores of a request. Pure. */
import type { ExitFact, JournalRecord } from '../../ports/journal.ts';
import type { ContainerSpec, RecordedSpec } from '../../ports/specs.ts';

/** The spec for the journal: without command, arguments and environment, which may hold secrets (S91). */
export function recordedSpec({
  command: _command,
  args: _args,
  env: _env,
  ...spec
}: ContainerSpec): RecordedSpec {
  return spec;
}

/**
 * Reasons of failed starts as the kernel and the runtimes word them. Only these are recorded, because the rest of the
 * message may quote the command (`exec: "<first word>": …`).
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

/**
 * The known reason in the message of a failed start or exec, without words of the command; undefined for any other
 * reason.
 */
export function startReason(message: string): string | undefined {
  const said = message.toLowerCase();
  return START_REASONS.find((one) => said.includes(one.toLowerCase()));
}

/**
 * The exit for the journal: of a failed start's message it keeps only the known reason (S91). Until the daemon
 * restarts, clients get the whole message, from memory.
 * @returns the same object if nothing was removed
 */
export function recordedExit(exit: ExitFact): ExitFact {
  if (exit.observedBy !== 'start') return exit;
  const message = `the start failed: ${startReason(exit.message) ?? UNKNOWN_REASON}`;
  return message === exit.message ? exit : { ...exit, message };
}

/**
 * The record without the secrets that earlier versions wrote: command, arguments and environment, and messages that
 * quote them (S91).
 * @returns the same object if nothing was removed
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
