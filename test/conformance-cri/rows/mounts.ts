// Mounts and devices of a container.
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holds, matches, refused, same } from '../expect.ts';
import { OUTSIDE } from '../images.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { hostMount } from '../host.ts';
import { sh, type Trial } from '../trial.ts';

type Mount = Extract<NonNullable<ContainerConfig['mounts']>[number], { readonly $typeName?: never }>;

/** A host directory with the file `word`, mounted at /mnt. */
async function mounted(
  t: Trial,
  change: Mount = {},
): Promise<{ readonly dir: string; readonly config: ContainerConfig }> {
  const dir = await t.directory();
  writeFileSync(join(dir, 'word'), 'from the host\n');
  return { dir, config: { mounts: [{ containerPath: '/mnt', hostPath: dir, ...change }] } };
}

/** The same with a tmpfs of the host's below it, whose propagation is stated. */
async function withMount(
  t: Trial,
  propagation: 'shared' | 'private',
  change: Mount = {},
): Promise<{ readonly dir: string; readonly config: ContainerConfig }> {
  const made = await mounted(t, change);
  await hostMount(['--bind', made.dir, made.dir]);
  t.after(async () => await hostMount(['--umount', made.dir]));
  await hostMount([`--make-${propagation}`, made.dir]);
  return made;
}

const links = async ({ stage }: Trial) => ({ image: { image: await stage.imageId('conf/links:1') } });
const image = async (t: Trial, change: Mount = {}): Promise<ContainerConfig> => ({
  mounts: [
    { containerPath: '/vol', readonly: true, image: { image: t.stage.ref('conf/links:1') }, ...change },
  ],
});

const hasRro = async (t: Trial): Promise<boolean> =>
  (await t.runtime.status({})).runtimeHandlers.some(
    ({ name, features }) => name === t.stage.handler && features?.recursiveReadOnlyMounts === true,
  );

export const mounts: Group = {
  title: 'Mounts and devices',
  perHandler: true,
  rows: [
    row('mounts', 'a directory is there, both ways', async (t) => {
      const { dir, config } = await mounted(t);
      same(await t.output('cat /mnt/word; echo back > /mnt/back', config), 'from the host');
      same(readFileSync(join(dir, 'back'), 'utf8'), 'back\n');
    }),
    row('mounts', 'a file is there', async (t) => {
      const { dir } = await mounted(t);
      same(
        await t.output('cat /etc/word', {
          mounts: [{ containerPath: '/etc/word', hostPath: join(dir, 'word') }],
        }),
        'from the host',
      );
    }),
    row('mounts', 'readonly: reading goes, writing does not', async (t) => {
      const { config } = await mounted(t, { readonly: true });
      same(
        await t.output('cat /mnt/word; touch /mnt/x 2>/dev/null || echo refused', config),
        'from the host\nrefused',
      );
    }),
    row('mounts', 'one below another, stated in the wrong order', async (t) => {
      const [one, two] = [(await mounted(t)).dir, (await mounted(t)).dir];
      mkdirSync(join(one, 'sub'));
      writeFileSync(join(two, 'inner'), 'inner\n');
      same(
        await t.output('cat /a/word /a/sub/inner', {
          mounts: [
            { containerPath: '/a/sub', hostPath: two },
            { containerPath: '/a', hostPath: one },
          ],
        }),
        'from the host\ninner',
      );
    }),
    row('mounts.host_path', 'missing on the host: it is made as a directory', async (t) => {
      const missing = join(await t.directory(), 'a/b');
      same(
        await t.output('ls -A /mnt; touch /mnt/x', {
          mounts: [{ containerPath: '/mnt', hostPath: missing }],
        }),
        '',
      );
      holds(existsSync(join(missing, 'x')), 'not made');
    }),
    row('mounts.host_path', 'a symbolic link of the host is followed', async (t) => {
      const { dir } = await mounted(t);
      symlinkSync(dir, `${dir}-link`);
      same(
        await t.output('cat /mnt/word', { mounts: [{ containerPath: '/mnt', hostPath: `${dir}-link` }] }),
        'from the host',
      );
    }),
    row('mounts.container_path', 'through a link of the image stays in the container (S07)', async (t) => {
      const { dir } = await mounted(t);
      await t
        .run({
          ...(await links(t)),
          ...sh('cat /jump/in/word'),
          mounts: [{ containerPath: '/jump/in', hostPath: dir }],
        })
        .catch(() => undefined);
      holds(!existsSync(OUTSIDE), `${OUTSIDE} was made on the host`);
    }),
    row(
      'mounts.container_path',
      'at an absolute link of the image stays in the container (S20)',
      async (t) => {
        const { dir } = await mounted(t);
        await t
          .run({
            ...(await links(t)),
            ...sh('true'),
            mounts: [{ containerPath: '/absolute', hostPath: dir }],
          })
          .catch(() => undefined);
        holds(!existsSync(OUTSIDE), `${OUTSIDE} was made on the host`);
      },
    ),
    row('working_dir', 'through a link of the image is made in the container (S07)', async (t) => {
      await t
        .run({ image: { image: await t.stage.imageId('conf/linkdir:1') }, ...sh('true') })
        .catch(() => undefined);
      holds(!existsSync(OUTSIDE), `${OUTSIDE} was made on the host`);
    }),
    row('ContainerStatus.mounts', 'shows each mount as it was requested', async (t) => {
      const { dir, config } = await mounted(t, { readonly: true });
      const [mount] = (await t.status(await t.create(config))).mounts;
      same(
        [mount?.containerPath, mount?.hostPath, mount?.readonly, mount?.propagation],
        ['/mnt', dir, true, 0],
      );
    }),
    row('propagation', 'PRIVATE: a mount that the host makes later is not seen', async (t) => {
      const { dir, config } = await withMount(t, 'shared');
      const id = await t.start(config);
      mkdirSync(join(dir, 'later'));
      await hostMount(['-t', 'tmpfs', 'row', join(dir, 'later')]);
      t.after(async () => await hostMount(['--umount', join(dir, 'later')]));
      writeFileSync(join(dir, 'later/inside'), '');
      same(await t.exec(id, 'ls -A /mnt/later'), '');
    }),
    row('propagation', 'HOST_TO_CONTAINER: it is seen', async (t) => {
      const { dir, config } = await withMount(t, 'shared', { propagation: 1 });
      const id = await t.start(config);
      mkdirSync(join(dir, 'later'));
      await hostMount(['-t', 'tmpfs', 'row', join(dir, 'later')]);
      t.after(async () => await hostMount(['--umount', join(dir, 'later')]));
      writeFileSync(join(dir, 'later/inside'), '');
      same(await t.exec(id, 'ls -A /mnt/later'), 'inside');
    }),
    row('propagation', 'BIDIRECTIONAL of a source that is not shared is refused', async (t) => {
      const { config } = await withMount(t, 'private', { propagation: 2 });
      const begin = async (): Promise<void> => void (await t.start(config));
      await refused(begin(), ['FAILED_PRECONDITION', 'INVALID_ARGUMENT']);
    }),
    row('propagation', 'HOST_TO_CONTAINER of a private source is refused', async (t) => {
      const { config } = await withMount(t, 'private', { propagation: 1 });
      const begin = async (): Promise<void> => void (await t.start(config));
      await refused(begin(), ['FAILED_PRECONDITION', 'INVALID_ARGUMENT']);
    }),
    row('recursive_read_only', 'a mount below the source is read-only, too', async (t) => {
      if (!(await hasRro(t))) t.skip('the handler says that it has no recursive read-only mounts');
      const { dir } = await mounted(t);
      mkdirSync(join(dir, 'below'));
      await hostMount(['-t', 'tmpfs', 'row', join(dir, 'below')]);
      t.after(async () => await hostMount(['--umount', join(dir, 'below')]));
      const config = {
        mounts: [{ containerPath: '/mnt', hostPath: dir, readonly: true, recursiveReadOnly: true }],
      };
      same(await t.output('touch /mnt/below/x 2>/dev/null || echo refused', config), 'refused');
    }),
    row('recursive_read_only', 'is shown by ContainerStatus', async (t) => {
      if (!(await hasRro(t))) t.skip('the handler says that it has no recursive read-only mounts');
      const { config } = await mounted(t, { readonly: true, recursiveReadOnly: true });
      same((await t.status(await t.create(config))).mounts[0]?.recursiveReadOnly, true);
    }),
    row('recursive_read_only', 'where the handler cannot do it: refused', async (t) => {
      if (await hasRro(t)) t.skip('the handler has recursive read-only mounts');
      await t.createRefused(
        (await mounted(t, { readonly: true, recursiveReadOnly: true })).config,
        ['UNKNOWN', 'INVALID_ARGUMENT'],
        /RROUnsupported/u,
      );
    }),
    row('mount_options', 'noexec: a program there does not run', async (t) => {
      const { dir, config } = await mounted(t, { mountOptions: ['noexec'] });
      writeFileSync(join(dir, 'run'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
      same(await t.output('/mnt/run 2>/dev/null || echo refused', config), 'refused');
    }),
    row('mount_options', 'nosuid and nodev are in force', async (t) => {
      const { config } = await mounted(t, { mountOptions: ['nosuid', 'nodev'] });
      matches(await t.output('grep " /mnt " /proc/self/mountinfo', config), /nosuid\S*nodev|nodev\S*nosuid/u);
    }),
    row('mounts.image', 'an image as a directory, read-only', async (t) => {
      await t.stage.imageId('conf/links:1');
      same(
        await t.output('cat /vol/content/file; touch /vol/x 2>/dev/null || echo refused', await image(t)),
        'in the imagerefused',
      );
    }),
    row('mounts.image_sub_path', 'a directory of the image', async (t) => {
      await t.stage.imageId('conf/links:1');
      same(await t.output('cat /vol/file', await image(t, { imageSubPath: 'content' })), 'in the image');
    }),
    row('mounts.image_sub_path', 'missing: refused by name', async (t) => {
      await t.stage.imageId('conf/links:1');
      const begin = async (): Promise<void> =>
        void (await t.start(await image(t, { imageSubPath: 'no/such' })));
      await refused(
        begin(),
        ['UNKNOWN', 'NOT_FOUND', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
        /no\/such/u,
      );
    }),
    row('mounts.image_sub_path', 'with .. is refused', async (t) => {
      await t.stage.imageId('conf/links:1');
      await t.createRefused(await image(t, { imageSubPath: '../etc' }), ['INVALID_ARGUMENT', 'UNKNOWN']);
    }),
    row(
      'mounts.image_sub_path',
      'a link that leads out of the image shows nothing of the host (S45)',
      async (t) => {
        await t.stage.imageId('conf/links:1');
        const secret = readFileSync('/etc/machine-id', 'utf8').trim();
        const ran = await t
          .run({ ...(await image(t, { imageSubPath: 'content/out' })), ...sh('cat /vol/machine-id') })
          .catch(() => undefined);
        holds(secret === '' || !(ran?.stdout ?? '').includes(secret), "the host's /etc is there");
      },
    ),
    row('mounts.image', 'readonly false is refused', async (t) => {
      await t.stage.imageId('conf/links:1');
      await t.createRefused(await image(t, { readonly: false }), ['INVALID_ARGUMENT', 'UNKNOWN']);
    }),
    row('mounts.image', 'is shown by ContainerStatus with the id of the image', async (t) => {
      const id = await t.stage.imageId('conf/links:1');
      same((await t.status(await t.create(await image(t)))).mounts[0]?.image?.image, id);
    }),
    row('devices', 'is there with its permissions, and no other', async (t) => {
      // not one of those that runtimes allow to every container, as runc does /dev/net/tun
      if (!existsSync('/dev/loop-control')) t.skip('no /dev/loop-control here');
      const devices = [{ containerPath: '/dev/mine', hostPath: '/dev/loop-control', permissions: 'r' }];
      same(
        await t.output(
          '(: < /dev/mine) && echo read; (: > /dev/mine) 2>/dev/null || echo refused; test -e /dev/kmsg || echo none',
          { devices },
        ),
        'read\nrefused\nnone',
      );
    }),
    row('devices', 'a directory of devices: each of them', async (t) => {
      if (!existsSync('/dev/net/tun')) t.skip('no /dev/net here');
      same(
        await t.output('test -c /dev/nets/tun && echo there', {
          devices: [{ containerPath: '/dev/nets', hostPath: '/dev/net', permissions: 'rwm' }],
        }),
        'there',
      );
    }),
    row('/sys', 'is read-only', async (t) =>
      matches(await t.output('grep " /sys " /proc/self/mountinfo'), / \/sys ro,/u),
    ),
    row('/sys/fs/cgroup', 'is read-only', async (t) =>
      matches(await t.output('grep " /sys/fs/cgroup" /proc/self/mountinfo'), / \/sys\/fs\/cgroup\S* ro,/u),
    ),
    row('/etc/resolv.conf', 'a mount of the config takes its place', async (t) => {
      const { dir } = await mounted(t);
      same(
        await t.output('cat /etc/resolv.conf', {
          mounts: [{ containerPath: '/etc/resolv.conf', hostPath: join(dir, 'word') }],
        }),
        'from the host',
      );
    }),
    row('/etc/hosts', "is the host's on the host network, where the config mounts none", async (t) =>
      same(await t.output('cat /etc/hosts'), readFileSync('/etc/hosts', 'utf8').trimEnd()),
    ),
    row('/etc/hosts', "is the kubelet's: a mount of the config is there", async (t) => {
      const { dir } = await mounted(t);
      same(
        await t.output('cat /etc/hosts', {
          mounts: [{ containerPath: '/etc/hosts', hostPath: join(dir, 'word') }],
        }),
        'from the host',
      );
    }),
    row('/etc/mtab', 'is a link to /proc/mounts', async (t) =>
      same(await t.output('readlink /etc/mtab'), '/proc/mounts'),
    ),
    row('mounts', 'when the container goes, its source and files stay', async (t) => {
      const { dir, config } = await mounted(t);
      const { id: containerId } = await t.run({ ...config, ...sh('true') });
      await t.runtime.removeContainer({ containerId });
      same(readFileSync(join(dir, 'word'), 'utf8'), 'from the host\n');
      rmSync(dir, { recursive: true });
    }),
  ],
};
