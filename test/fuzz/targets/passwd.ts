/** An image's passwd and group: what cannot be resolved is refused, and nothing but a stated 0 ends as uid or gid 0. */
import { resolveUser } from '../../../src/oci/runtime/bundle/host/user.ts';
import type { UserChoice } from '../../../src/ports/specs.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin:\nuser:x:1000:1001:U,,,:/home/user:/bin/sh\nbroken:x:abc:1::/:\n';
const GROUP = 'root:x:0:\nwheel:x:10:user,bin\nuser:x:1001:\nmany:x:2000:a,b,user \n';
const NONE: UserChoice = {
  runAsUser: undefined,
  runAsGroup: undefined,
  runAsUsername: '',
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
};
const MOST_ID = 2 ** 32 - 2;

/** USER of the image, passwd and group, with a NUL between them. */
function parts(input: Buffer): readonly [string, string, string] {
  const [user = '', passwd = '', group = ''] = input.toString('utf8').split('\0');
  return [user, passwd, group];
}

function check(choice: UserChoice, [user, passwd, group]: readonly [string, string, string]): boolean {
  const { uid, gid, additionalGids, home } = resolveUser(choice, user, { passwd, group });
  for (const id of [uid, gid, ...additionalGids])
    if (!Number.isSafeInteger(id) || id < 0 || id > MOST_ID) violated(`an id ${id}`);
  if (new Set(additionalGids).size !== additionalGids.length || additionalGids[0] !== gid)
    violated(`groups ${additionalGids.join()} with the primary ${gid}`);
  // eslint-disable-next-line no-control-regex -- control characters are what is searched for
  if (!home.startsWith('/') || /[\n\r\0:]/u.test(home)) violated(`a home ${JSON.stringify(home)}`);
  if (uid === 0 && user !== '' && choice.runAsUser === undefined) {
    const name = user.split(':', 1)[0] ?? '';
    const isStated =
      Number(name) === 0 ||
      passwd.split('\n').some((line) => line.startsWith(`${name}:`) && Number(line.split(':')[2]) === 0);
    if (!isStated) violated(`user ${JSON.stringify(name)} has become root`);
  }
  return true;
}

const seed = (user: string): string => `${user}\0${PASSWD}\0${GROUP}`;
const kinds: readonly Kind[] = [
  {
    name: 'user',
    seeds: ['user', '', '0', '1000:10', 'user:wheel', 'broken', '4294967296'].map(seed),
    run: (input) => check(NONE, parts(input)),
  },
  { name: 'number', seeds: [seed('')], run: (input) => check({ ...NONE, runAsUser: 1000 }, parts(input)) },
  {
    name: 'name',
    seeds: [seed('')],
    run: (input) => {
      const [user, passwd, group] = parts(input);
      return check(
        { ...NONE, runAsUsername: user === '' ? 'user' : user, runAsGroup: 7, supplementalGroups: [5, 7] },
        ['', passwd, group],
      );
    },
  },
];

export const passwdLearner = learnerOf(kinds, ['invalidRequest'], [':x:0:0:', ':', ',', '\n', '\0']);
