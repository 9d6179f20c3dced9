/**
 * `<root>/version`: the troupe that has started here last. The journal has a number of its own, by which nobody knows
 * what to install: an older program, which refuses that journal, names the version as well.
 */
import { join } from 'node:path';
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { writeAtomic } from '../../host/files/files.ts';
import { readRegularFile } from '../../host/files/regular-file.ts';
import { launchLimits } from '../bounds.ts';
import { VERSION } from './version.ts';

const pathIn = (root: string): string => join(root, 'version');
/** A version of the semver form, since the file is shown to whoever reads an error. */
const FORM = /^\d+\.\d+\.\d+[\w.+-]*$/u;

/**
 * To be called by whoever holds the lock and has read the journal, before it writes one. A failure is logged: the file
 * is for a message only.
 */
export async function noteVersion(root: string, log: Log): Promise<void> {
  await writeAtomic(pathIn(root), Buffer.from(`${VERSION}\n`), 0o600).catch((thrown: unknown) =>
    log.warn({ reason: toFault(thrown).message }, 'note the version in the root: failed'),
  );
}

/** Reads the journal of this root: where that is refused as one of a newer troupe, the message says of which. */
export async function namingWriter<T>(root: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    const version = kind === 'unsupported' ? await versionIn(root) : undefined;
    if (version === undefined) throw thrown;
    return fail('unsupported', `${message}; troupe ${version} has started here last`);
  }
}

/** Undefined where nothing is readable, or no version. */
export async function versionIn(root: string): Promise<string | undefined> {
  const text = await readRegularFile(pathIn(root), launchLimits.versionBytes).then(
    (bytes) => bytes.toString('latin1').trim(),
    () => '',
  );
  return FORM.test(text) ? text : undefined;
}
