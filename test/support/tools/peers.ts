// The runtimes that ours is measured beside, from their published Go modules. Only the bench asks for them.
import { join } from 'node:path';
import { runOrThrow } from '../run.ts';
import { cached } from './cache.ts';
import { buildGoTool, goModuleDirectory } from './go.ts';

const CONTAINERD = { module: 'github.com/containerd/containerd/v2', version: 'v2.4.2' } as const;
const CRIO = { module: 'github.com/cri-o/cri-o', version: 'v1.36.3' } as const;

/** Path of containerd; btrfs, device mapper and zfs are left out, which need libraries. */
export const containerd = async (): Promise<string> =>
  await buildGoTool({
    ...CONTAINERD,
    name: 'containerd',
    package: `${CONTAINERD.module}/cmd/containerd`,
    tags: ['no_btrfs', 'no_devmapper', 'no_zfs'],
  });

/** Path of its shim for runc, of the same version. */
export const shimOfContainerd = async (): Promise<string> =>
  await buildGoTool({
    ...CONTAINERD,
    name: 'containerd-shim-runc-v2',
    package: `${CONTAINERD.module}/cmd/containerd-shim-runc-v2`,
  });

/** Path of CRI-O. */
export const crio = async (): Promise<string> =>
  await buildGoTool({
    ...CRIO,
    name: 'crio',
    package: `${CRIO.module}/cmd/crio`,
    needsCgo: true,
    tags: ['containers_image_openpgp', 'exclude_graphdriver_btrfs', 'seccomp'],
  });

/** Path of the program that pins CRI-O's namespaces, compiled from the C sources that its module brings. */
export async function pinns(): Promise<string> {
  const directory = await cached(join('tools', 'pinns', `${CRIO.version}-${process.arch}`), async (work) => {
    const source = join(await goModuleDirectory(CRIO.module, CRIO.version), 'pinns/src');
    await runOrThrow([
      'cc',
      '-O2',
      '-std=gnu99',
      '-o',
      join(work, 'pinns'),
      join(source, 'pinns.c'),
      join(source, 'sysctl.c'),
    ]);
  });
  return join(directory, 'pinns');
}
