// A copy of a runc that loads a copy of libseccomp, which can be replaced by an older one.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LIBRARY = 'libseccomp.so.2';

export interface OwnLibrary {
  readonly runc: string;
  /** Puts a libseccomp in place that says to be 2.5.1 and does not know clone3. */
  readonly makeOlder: () => void;
  readonly makeNewAgain: () => void;
  readonly remove: () => void;
}

interface Libraries {
  /** Path of the machine's. */
  readonly source: string;
  readonly current: Buffer;
  readonly older: Buffer;
}

/** False for a runc that has its libseccomp inside, and for a libseccomp with another layout. */
export const canHaveOwnLibrary = (runc: string): boolean => librariesOf(runc) !== undefined;

function librariesOf(runc: string): Libraries | undefined {
  const traced = execFileSync(runc, ['--version'], {
    env: { LD_TRACE_LOADED_OBJECTS: '1' },
    encoding: 'utf8',
  });
  const source = /^\tlibseccomp\.so\.2 => (\S+) /mu.exec(traced)?.[1];
  if (source === undefined) return undefined;
  const current = readFileSync(source);
  const older = Buffer.from(current);
  const isChanged = [
    // const struct scmp_version library_version
    change(older, versionOf(runc), words(2, 5, 1)),
    change(older, Buffer.from('\0clone3\0'), Buffer.from('\0clonex\0')),
  ].every(Boolean);
  return isChanged ? { source, current, older } : undefined;
}

/** Throws where `canHaveOwnLibrary` is false. */
export function withOwnLibrary(runc: string): OwnLibrary {
  const libraries = librariesOf(runc);
  if (libraries === undefined) throw new Error(`${runc} loads no libseccomp that is known`);
  const { source, current, older } = libraries;
  // in DT_NEEDED a path is loaded from there; it must have as many characters
  const directory = mkdtempSync('/tmp/l-');
  const library = join(directory, 's');
  const program = readFileSync(runc);
  if (!change(program, Buffer.from(`${LIBRARY}\0`), Buffer.from(`${library}\0`)))
    throw new Error(`${runc} does not name ${LIBRARY} once`);
  const own = join(directory, 'runc');
  writeFileSync(own, program, { mode: 0o755 });
  copyFileSync(source, library);
  const put = (content: Buffer) => (): void => {
    writeFileSync(`${library}.new`, content);
    renameSync(`${library}.new`, library);
  };
  return {
    runc: own,
    makeOlder: put(older),
    makeNewAgain: put(current),
    remove: () => rmSync(directory, { recursive: true }),
  };
}

/** As `features` gives it. */
function versionOf(runc: string): Buffer {
  const features = execFileSync(runc, ['features'], { encoding: 'utf8' });
  const version = /"io\.github\.seccomp\.libseccomp\.version":\s*"([\d.]+)"/u.exec(features)?.[1] ?? '';
  return words(...version.split('.').map(Number));
}

function words(...numbers: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(numbers).buffer);
}

/** Replaces the only occurrence; false without one, and with several. */
function change(bytes: Buffer, from: Buffer, to: Buffer): boolean {
  const at = bytes.indexOf(from);
  if (at === -1 || from.length !== to.length || bytes.includes(from, at + 1)) return false;
  to.copy(bytes, at);
  return true;
}
