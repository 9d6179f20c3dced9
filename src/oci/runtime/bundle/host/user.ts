/**
 * Resolves the user that a container runs as, from the request, the image's USER and the image's passwd and group
 * files. All are untrusted. A text is either a number or a name, never both (S25, S26). What cannot be resolved is
 * refused and never becomes uid 0.
 */
import type { IdMappings, UserChoice } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { specLimits } from '../../bounds.ts';
import { portLimits } from '../../../../ports/bounds.ts';
import { parseImageUser } from '../../../documents/image-user.ts';
import type { ImageUser } from '../../../documents/image-user.ts';
import type { ResolvedUser } from '../../spec/input.ts';
import { isPlainHome } from '../../spec/process.ts';

/** Reads a regular file within a root; undefined if it does not exist (src/host/files/files.ts). */
export type ReadFileInRoot = (
  root: string,
  path: string,
  options: { bytesMax: number },
) => Promise<Uint8Array | undefined>;

/** The image's user database; an empty text for a missing file. */
export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** Resolves the user of a container with this root file system. Throws `invalidRequest`. */
export async function resolveUserIn(
  rootfs: string,
  choice: UserChoice,
  imageUser: string,
  read: ReadFileInRoot,
): Promise<ResolvedUser> {
  const options = { bytesMax: specLimits.passwdBytes };
  const [passwd, group] = await Promise.all([
    read(rootfs, '/etc/passwd', options),
    read(rootfs, '/etc/group', options),
  ]);
  return resolveUser(choice, imageUser, { passwd: textOf(passwd), group: textOf(group) });
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined
    ? ''
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/**
 * Precedence: run_as_username, run_as_user, the image's USER. The group: run_as_group, else the one given with the
 * user, else the user's primary group. The primary group is always among the additional groups, so that permissions
 * denied to the group are denied to this process, too (CVE-2022-2995).
 */
export function resolveUser(choice: UserChoice, imageUser: string, files: UserFiles): ResolvedUser {
  const asked = askedUser(choice, imageUser);
  const entry = findUser(asked.user ?? 0, files.passwd);
  const uid = typeof asked.user === 'string' ? known(entry, asked.user).uid : (asked.user ?? 0);
  const gid =
    choice.runAsGroup === undefined
      ? groupOf(asked, entry, files.group)
      : id(choice.runAsGroup, 'run_as_group');
  const requestedGroups = choice.supplementalGroups.map((group) => id(group, 'supplemental_groups'));
  const ofImage =
    choice.supplementalGroupsPolicy === 'merge' && entry !== undefined
      ? memberships(entry.name, files.group)
      : [];
  const others = [...new Set([...ofImage, ...requestedGroups])]
    .filter((group) => group !== gid)
    .sort((a, b) => a - b);
  if (others.length >= specLimits.groups) {
    fail(
      'invalidRequest',
      `resolve user ${uid}: ${others.length + 1} groups, at most ${specLimits.groups} are allowed`,
      {
        subject: 'supplemental_groups',
      },
    );
  }
  return { uid, gid, additionalGids: [gid, ...others], home: homeOf(entry, uid) };
}

function askedUser(choice: UserChoice, imageUser: string): ImageUser {
  if (choice.runAsUsername !== '') return parsed(choice.runAsUsername, 'run_as_username');
  if (choice.runAsUser !== undefined) return { user: id(choice.runAsUser, 'run_as_user'), group: undefined };
  if (choice.runAsGroup !== undefined) {
    fail('invalidRequest', `run as group ${choice.runAsGroup}: no user is given`, {
      subject: 'run_as_group',
    });
  }
  return parsed(imageUser, "the image's USER");
}

function parsed(text: string, field: string): ImageUser {
  const user = text.length > specLimits.nameChars * 2 ? undefined : parseImageUser(text);
  return (
    user ??
    fail(
      'invalidRequest',
      `run as ${JSON.stringify(text.slice(0, specLimits.nameChars))}: not a user with or without a group`,
      {
        subject: field,
      },
    )
  );
}

function id(value: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= portLimits.highestUserId) return value;
  return fail('invalidRequest', `use ${value} as ${field}: not in 0 to ${portLimits.highestUserId}`, {
    subject: field,
  });
}

function known(entry: PasswdEntry | undefined, name: string): PasswdEntry {
  return (
    entry ?? fail('invalidRequest', `run as user ${name}: not in the image's /etc/passwd`, { subject: name })
  );
}

function groupOf(asked: ImageUser, entry: PasswdEntry | undefined, groups: string): number {
  if (typeof asked.group === 'number') return asked.group;
  if (asked.group === undefined) return entry?.gid ?? 0;
  for (const fields of lines(groups)) {
    if (fields[0] !== asked.group) continue;
    const gid = number(fields[2]);
    if (gid !== undefined) return gid;
  }
  return fail('invalidRequest', `run as group ${asked.group}: not in the image's /etc/group`, {
    subject: asked.group,
  });
}

function homeOf(entry: PasswdEntry | undefined, uid: number): string {
  const home = entry?.home ?? '';
  if (!isPlainHome(home)) {
    fail('invalidRequest', `run as user ${uid}: its home in the image's /etc/passwd has control characters`, {
      subject: 'HOME',
    });
  }
  return home.startsWith('/') ? home : '/';
}

/** The first entry with this name or number, as getpwnam(3) and getpwuid(3) return; invalid lines are skipped. */
function findUser(user: number | string, passwd: string): PasswdEntry | undefined {
  for (const [name, , uidText, gidText, , home] of lines(passwd)) {
    if (name === undefined || name === '') continue;
    if (typeof user === 'string' && name !== user) continue;
    const uid = number(uidText);
    const gid = number(gidText);
    if (uid === undefined || gid === undefined) {
      if (typeof user !== 'string') continue;
      // a later line of the same name must not be used: getpwnam would have stopped here
      return fail(
        'invalidRequest',
        `run as user ${user}: its entry in the image's /etc/passwd has no valid numbers`,
        { subject: user },
      );
    }
    if (typeof user === 'number' && uid !== user) continue;
    return { name, uid, gid, home: home ?? '' };
  }
  return undefined;
}

function memberships(name: string, groups: string): readonly number[] {
  const found = new Set<number>();
  for (const [, , gidText, members] of lines(groups)) {
    const gid = number(gidText);
    if (gid === undefined || members === undefined || !isMember(name, members.trimEnd())) continue;
    found.add(gid);
    // the caller refuses more than the kernel's bound
    if (found.size > specLimits.groups) break;
  }
  return [...found];
}

/**
 * Whether a comma-separated list contains the name. Not split: a line of 10 MiB may have millions of members (S10).
 */
function isMember(name: string, members: string): boolean {
  // a name with a comma cannot be a member, and would match across two entries
  if (name.includes(',')) return false;
  for (let from = 0; ;) {
    const comma = members.indexOf(',', from);
    const end = comma < 0 ? members.length : comma;
    if (end - from === name.length && members.startsWith(name, from)) return true;
    if (comma < 0) return false;
    from = comma + 1;
  }
}

/** Decimal and in range; undefined for anything else, such as a number that would wrap to 0 in 32 bits. */
function number(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/u.test(text)) return undefined;
  const value = Number(text);
  return value <= portLimits.highestUserId ? value : undefined;
}

/** The fields of each line, one line at a time: a file of 10 MiB must not become a million arrays at once. */
function* lines(text: string): Generator<readonly string[]> {
  let from = 0;
  for (let count = 1; from < text.length; count += 1) {
    if (count > specLimits.passwdLines) {
      fail(
        'invalidRequest',
        `resolve user: /etc/passwd or /etc/group of the image has more than ${specLimits.passwdLines} lines`,
        { subject: 'image' },
      );
    }
    const at = text.indexOf('\n', from);
    const end = at < 0 ? text.length : at;
    if (end > from) yield text.slice(from, end).split(':', 8);
    from = end + 1;
  }
}

/**
 * User of the pause process: numbers only, since its root file system has no passwd. By default 65535, as in the
 * well-known pause image, or the last id of a smaller user namespace.
 */
export function pauseUser(choice: UserChoice, mappings?: IdMappings): ResolvedUser {
  if (choice.runAsUsername !== '') {
    fail(
      'unsupported',
      `run the pause process as ${choice.runAsUsername}: its image has no passwd, only numbers are supported`,
      {
        subject: 'run_as_username',
      },
    );
  }
  if (choice.runAsUser === undefined && choice.runAsGroup === undefined) {
    const uid = Math.min(65_535, (mappings?.uids.length ?? 65_536) - 1);
    const gid = Math.min(65_535, (mappings?.gids.length ?? 65_536) - 1);
    return { uid, gid, additionalGids: [gid], home: '/' };
  }
  return resolveUser({ ...choice, supplementalGroupsPolicy: 'strict' }, '', { passwd: '', group: '' });
}
