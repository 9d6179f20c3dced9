// ContainerConfig: the process itself. Command, environment, user, groups, capabilities and what it may do.
import { matches, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { security, type Trial } from '../trial.ts';
import { rights } from './container-rights.ts';

const full = async ({ stage }: Trial) => ({ image: { image: await stage.imageId('conf/full:1') } });
const users = async ({ stage }: Trial) => ({ image: { image: await stage.imageId('conf/users:1') } });
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** `uid gid groups` of a process. */
const WHO = 'echo $(id -u) $(id -g) $(id -G | tr " " "\\n" | sort -n | tr "\\n" " ")';
const who = async (t: Trial, change: ContainerConfig): Promise<string> => await t.output(WHO, change);

export const containerProcess: Group = {
  title: 'ContainerConfig: the process',
  perHandler: true,
  rows: [
    row('command, args', "neither: the image's ENTRYPOINT and CMD", async (t) =>
      same((await t.run({ ...(await full(t)), command: [], args: [] })).stdout, 'entry cmd\n'),
    ),
    row('args', "alone takes the place of the image's CMD", async (t) =>
      same((await t.run({ ...(await full(t)), command: [], args: ['mine'] })).stdout, 'entry mine\n'),
    ),
    row('command', 'alone takes the place of ENTRYPOINT and drops CMD', async (t) =>
      same((await t.run({ ...(await full(t)), command: ['echo', 'only'] })).stdout, 'only\n'),
    ),
    row('command, args', 'both: the image says nothing', async (t) =>
      same((await t.run({ ...(await full(t)), command: ['echo', 'a'], args: ['b'] })).stdout, 'a b\n'),
    ),
    row('command', 'arguments reach the process byte for byte', async (t) => {
      same(
        (await t.run({ command: ['printf', '%s|', ' a  b', '$HOME `x`', 'ü🙂', '', '\n'] })).stdout.trimEnd(),
        ' a  b|$HOME `x`|ü🙂||\n|',
      );
    }),
    row('envs', "the image's variables, overridden by name", async (t) => {
      const envs = [
        { key: 'SHARED', value: bytes('config') },
        { key: 'OWN', value: bytes('a=b c') },
      ];
      same(await t.output('echo $FROM_IMAGE $SHARED $OWN', { ...(await full(t)), envs }), 'yes config a=b c');
    }),
    row('envs', 'the last of two with one name wins', async (t) => {
      same(
        await t.output('echo $A', {
          envs: [
            { key: 'A', value: bytes('1') },
            { key: 'A', value: bytes('2') },
          ],
        }),
        '2',
      );
    }),
    row('envs', 'a value with line breaks and empty values', async (t) => {
      same(
        await t.output('echo "$A"; echo "[${B-unset}]"', {
          envs: [
            { key: 'A', value: bytes('x\ny') },
            { key: 'B', value: bytes('') },
          ],
        }),
        'x\ny\n[]',
      );
    }),
    row('envs', '5000 variables', async (t) => {
      const envs = Array.from({ length: 5000 }, (_none, at) => ({ key: `V${at}`, value: bytes(String(at)) }));
      same(await t.output('echo $V0 $V4999', { envs }), '0 4999');
    }),
    row('envs', 'a PATH is there when neither image nor config has one', async (t) =>
      matches(await t.output('echo $PATH'), /\/bin/u),
    ),
    row('envs', "HOME is the user's in passwd", async (t) =>
      same(
        await t.output('echo $HOME', { ...(await users(t)), ...security({ runAsUsername: 'app' }) }),
        '/home/app',
      ),
    ),
    row('working_dir', "the image's, made when it is missing", async (t) =>
      same(await t.output('pwd', { ...(await full(t)) }), '/srv/work'),
    ),
    row('working_dir', "the config's before the image's", async (t) =>
      same(await t.output('pwd', { ...(await full(t)), workingDir: '/made/here' }), '/made/here'),
    ),
    row('working_dir', 'the root directory when nobody says', async (t) => same(await t.output('pwd'), '/')),
    row('run_as_user', 'a number with its primary group and groups of the image', async (t) =>
      same(
        await who(t, { ...(await users(t)), ...security({ runAsUser: { value: 1000n } }) }),
        '1000 1000 1000 5000 5001',
      ),
    ),
    row('run_as_user', 'a number that passwd has not: group 0', async (t) =>
      same(await who(t, security({ runAsUser: { value: 4321n } })), '4321 0 0'),
    ),
    row('run_as_user', 'the highest, 2^31 - 1', async (t) =>
      same(await t.output('id -u', security({ runAsUser: { value: 2_147_483_647n } })), '2147483647'),
    ),
    row('run_as_username', 'a name of the image', async (t) =>
      same(
        await who(t, { ...(await users(t)), ...security({ runAsUsername: 'app' }) }),
        '1000 1000 1000 5000 5001',
      ),
    ),
    row('run_as_group', 'with a user', async (t) =>
      same(await who(t, security({ runAsUser: { value: 33n }, runAsGroup: { value: 77n } })), '33 77 77'),
    ),
    row('image USER', 'a name', async (t) => same(await who(t, await full(t)), '1000 1000 1000 5000 5001')),
    row('image USER', 'uid:gid', async (t) =>
      same(await who(t, { image: { image: await t.stage.imageId('conf/uid:1') } }), '1234 5678 5678'),
    ),
    row('image USER', 'is overridden by run_as_user', async (t) =>
      same(await t.output('id -u', { ...(await full(t)), ...security({ runAsUser: { value: 0n } }) }), '0'),
    ),
    row('supplemental_groups', 'Merge: those of the image and of the config', async (t) => {
      same(
        await who(t, {
          ...(await users(t)),
          ...security({ runAsUser: { value: 1000n }, supplementalGroups: [9000n, 9001n] }),
        }),
        '1000 1000 1000 5000 5001 9000 9001',
      );
    }),
    row('supplemental_groups', 'Strict: those of the config only', async (t) => {
      same(
        await who(t, {
          ...(await users(t)),
          ...security({
            runAsUser: { value: 1000n },
            supplementalGroups: [9000n],
            supplementalGroupsPolicy: 1,
          }),
        }),
        '1000 1000 1000 9000',
      );
    }),
    row('ContainerStatus.user', 'shows uid, gid and groups', async (t) => {
      const id = await t.start({
        ...(await users(t)),
        ...security({ runAsUser: { value: 1000n }, supplementalGroups: [9000n] }),
      });
      const { uid, gid, supplementalGroups } = (await t.status(id)).user?.linux ?? {};
      same(
        { uid, gid, groups: new Set(supplementalGroups) },
        { uid: 1000n, gid: 1000n, groups: new Set([1000n, 5000n, 5001n, 9000n]) },
      );
    }),
    ...rights,
  ],
};
