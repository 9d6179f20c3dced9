// The images that the node e2e suite of Kubernetes v1.36 runs, under the names it asks for: no public registry is
// needed. agnhost and nonewprivs are the upstream programs; the rest is Debian's busybox, nginx and a few programs that
// the upstream images install.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxEntries, userEntries } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, type Layer, layerOf } from '../../../scripts/support/image.ts';
import type { TarEntry } from '../../../scripts/support/tar.ts';
import {
  busyboxLayerForCritest,
  compiled,
  configLayer,
  libraryEntries,
  nginxCommand,
  nginxLayer,
} from '../../support/images/critest-images.ts';
import { debianTree, inTree, type Library, librariesOf, staticBusybox } from '../../support/tools/debian.ts';
import { testImageSources } from '../../support/tools/kubernetes.ts';
import type { Programs } from './programs.ts';

const E2E = 'e2e-test-images';

const directory = (path: string, mode = 0o755): TarEntry => ({ type: 'directory', path, mode });
const file = (path: string, content: Uint8Array | string, mode = 0o644): TarEntry => ({
  type: 'file',
  path,
  mode,
  content,
});

/** Programs whose file has another name in Debian's package. */
const PACKAGED: Readonly<Record<string, string>> = { nc: 'nc.openbsd' };

/** Programs of Debian with their libraries, where scripts expect them, above a layer with busybox. */
async function programsLayer(names: readonly string[], more: readonly TarEntry[] = []): Promise<Layer> {
  const tree = debianTree('image-programs');
  const libraries = new Map<string, Library>();
  const programs: TarEntry[] = [];
  for (const name of names) {
    const packaged = PACKAGED[name] ?? name;
    const path = inTree(tree, `usr/bin/${packaged}`, `bin/${packaged}`);
    for (const library of await librariesOf(tree, path)) libraries.set(library.path, library);
    programs.push(file(`bin/${name}`, readFileSync(path), 0o755));
  }
  return layerOf([...libraryEntries([...libraries.values()]), directory('bin'), ...programs, ...more]);
}

/**
 * Busybox with what a specs' shell needs beyond Debian 12's: one that hands on variables whose names it could not have
 * (since busybox 1.36), and `nmeter`.
 */
async function busyboxLayers(): Promise<Layer[]> {
  const shell = await programsLayer(
    ['bash'],
    [
      { type: 'symlink', path: 'bin/sh', target: 'bash' },
      file('bin/nmeter', await compiled('nmeter'), 0o755),
    ],
  );
  return [layerOf(busyboxEntries(staticBusybox(), ['sh'])), shell];
}

/**
 * What agnhost's fake registry serves: our pause image under the one name that specs pull from it, in the layout that
 * it reads (a file per tag with a digest, files by digest). The directory is a link, since a path in a tar file of ours
 * has at most 100 bytes.
 */
function fakeRegistryEntries(pause: Image): TarEntry[] {
  const entries: TarEntry[] = [];
  const made = new Set<string>();
  const into = (path: string): string => {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      if (!made.has(parent)) entries.push(directory(parent));
      made.add(parent);
    }
    return path;
  };
  const byDigest = (kind: 'blobs' | 'manifests', digest: string): string => {
    const hash = digest.slice('sha256:'.length);
    return into(`r/pause/${kind}/sha256/${hash.slice(0, 2)}/${hash}/data`);
  };
  const manifestPath = byDigest('manifests', pause.manifest.digest);
  entries.push(
    file(manifestPath, pause.manifest.bytes),
    file(into('r/pause/manifests/testing'), `${pause.manifest.digest}\n`),
  );
  for (const blob of [pause.config, ...pause.layers.map((layer) => layer.blob)]) {
    const path = byDigest('blobs', blob.digest);
    entries.push(file(path, blob.bytes));
  }
  return [...entries, { type: 'symlink', path: 'var/registry', target: '/r' }];
}

/** Agnhost in its two versions: one program, images that differ. */
async function agnhostImages(
  programs: Programs,
  busybox: readonly Layer[],
  pause: Image,
): Promise<[string, Image][]> {
  const sources = await testImageSources();
  const own = layerOf([
    file('agnhost', readFileSync(programs.agnhost), 0o755),
    { type: 'symlink', path: 'agnhost-2', target: 'agnhost' },
    ...['localhost.crt', 'localhost.key'].map((name) =>
      file(name, readFileSync(join(sources, 'agnhost/porter', name))),
    ),
    directory('uploads'),
    ...fakeRegistryEntries(pause),
    ...userEntries({
      passwd: ['user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh'],
      group: ['user-defined-in-image:x:1000:', 'group-defined-in-image:x:50000:user-defined-in-image'],
    }),
  ]);
  const layers = [...busybox, await programsLayer(['curl', 'nc']), own];
  const config = {
    Entrypoint: ['/agnhost'],
    Cmd: ['pause'],
    ExposedPorts: { '80/tcp': {}, '8080/tcp': {}, '8081/tcp': {}, '9376/tcp': {}, '5000/tcp': {} },
  };
  return ['2.63.0', '2.55'].map((version) => [
    `${E2E}/agnhost:${version}`,
    imageOf({ ...config, Labels: { version } }, layers),
  ]);
}

/** By `repository:tag`, without the host. */
export async function nodeImages(programs: Programs): Promise<Map<string, Image>> {
  const sources = await testImageSources();
  const busybox = await busyboxLayers();
  const shells = await busyboxLayerForCritest();
  const pauseProgram = await compiled('pause');
  const pause = imageOf({ User: '65535:65535', Entrypoint: ['/pause'], Labels: { version: '3.10.2' } }, [
    layerOf([file('pause', pauseProgram, 0o755)]),
  ]);
  const web = imageOf({ ...nginxCommand, ExposedPorts: { '80/tcp': {} } }, [
    shells,
    await nginxLayer(),
    configLayer(80),
  ]);
  const agnhosts = await agnhostImages(programs, busybox, pause);
  const agnhost = agnhosts[0]?.[1];
  if (agnhost === undefined) throw new Error('there is no agnhost image');
  const glibc = layerOf([
    directory('etc'),
    file('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
    file('etc/host.conf', 'multi on\n'),
  ]);
  const animal = (name: string): Image =>
    imageOf({ Entrypoint: ['/agnhost'], Cmd: ['test-webserver'] }, [
      ...agnhost.layers,
      // what the specs of image volumes read; the second is that of upstream's base image
      layerOf([
        directory('etc'),
        file('etc/os-release', 'NAME="Alpine Linux"\n'),
        file('data.json', readFileSync(join(sources, name, 'html/data.json'))),
        file(`${name}.jpg`, name),
      ]),
    ]);
  return new Map<string, Image>([
    ...agnhosts,
    [`${E2E}/busybox:1.37.0-1`, imageOf({ Cmd: ['sh'] }, busybox)],
    [`${E2E}/nginx:1.15-4`, web],
    [`${E2E}/nginx:1.27-0`, web],
    [
      `${E2E}/nonewprivs:1.4`,
      imageOf({ Cmd: ['nnp'] }, [
        ...busybox,
        layerOf([
          directory('usr'),
          directory('usr/local'),
          directory('usr/local/bin'),
          file('usr/local/bin/nnp', readFileSync(programs.nonewprivs), 0o6755),
        ]),
      ]),
    ],
    [`${E2E}/nonroot:1.5`, imageOf({ User: '1234', Cmd: ['sh'] }, busybox)],
    [`${E2E}/ipc-utils:1.4`, imageOf({ Cmd: ['sh'] }, [...busybox, await programsLayer(['ipcs', 'ipcmk'])])],
    [
      `${E2E}/glibc-dns-testing:2.0.0`,
      imageOf({ Cmd: ['bash'] }, [...busybox, await programsLayer(['hostname']), glibc]),
    ],
    [`${E2E}/kitten:1.8`, animal('kitten')],
    [`${E2E}/nautilus:1.8`, animal('nautilus')],
    ['pause:3.10.2', pause],
  ]);
}
