// The images that critest v1.36.0 pulls, made from Debian's busybox and nginx and two small programs of ours. Their
// names are compiled into critest; what each must hold is what its specs check; the reason is beside each.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { busyboxEntries, userEntries } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, type Layer, layerOf, type RunConfig } from '../../../scripts/support/image.ts';
import type { TarEntry } from '../../../scripts/support/tar.ts';
import { runOrThrow } from '../run.ts';
import { cached } from '../tools/cache.ts';
import { debianTree, inTree, type Library, librariesOf, staticBusybox } from '../tools/debian.ts';

/** Repositories of critest's images on the hosts below. */
const STAGING = 'k8s-staging-cri-tools';
const E2E = 'e2e-test-images';

/** The hosts that critest's image names begin with; a mirror rule sends all of them to one registry. */
export const critestHosts = ['registry.k8s.io', 'k8s.gcr.io', 'gcr.io'] as const;

const directory = (path: string, mode = 0o755): TarEntry => ({ type: 'directory', path, mode });
const file = (path: string, content: Uint8Array | string, mode = 0o644): TarEntry => ({
  type: 'file',
  path,
  mode,
  content,
});
const emptyFileLayer = (name: string): Layer => layerOf([file(name, '')]);

/** Directories above these paths, outermost first, each once. */
function parentsOf(paths: readonly string[]): TarEntry[] {
  const all = new Set<string>();
  for (const path of paths) {
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) all.add(parent);
  }
  return [...all].sort().map((path) => directory(path));
}

export const libraryEntries = (libraries: readonly Library[]): TarEntry[] => [
  ...parentsOf(libraries.map((library) => library.path)),
  ...libraries.map(({ path, source }) => file(path, readFileSync(source), 0o755)),
];

/** The C files beside this one; a guest has no compiler, so they are carried there. */
export const COMPILED = ['pause', 'effective-uid', 'nmeter'] as const;
type Compiled = (typeof COMPILED)[number];

/** One of the C files beside this one. */
export const compiledSource = (name: Compiled): string => join(import.meta.dirname, `${name}.c`);

/** Where the cache has the program: by its source's digest. */
export function compiledKey(name: Compiled, arch: string): string {
  const digest = createHash('sha256')
    .update(readFileSync(compiledSource(name)))
    .digest('hex')
    .slice(0, 16);
  return join('images', `${name}-${arch}-${digest}`);
}

export const compilerArguments = (source: string, target: string): string[] => [
  '-std=gnu11',
  '-Wall',
  '-Werror',
  '-Os',
  '-static',
  '-s',
  '-o',
  target,
  source,
];

/** Compiles one of the C files, statically. */
export async function compiled(name: Compiled): Promise<Buffer> {
  const tree = await cached(
    compiledKey(name, process.arch),
    async (work) =>
      void (await runOrThrow(['gcc', ...compilerArguments(compiledSource(name), join(work, name))])),
  );
  return readFileSync(join(tree, name));
}

// Debian's busybox has neither; critest runs both in containers.
const pgrepScript = `#!/bin/sh
# The ids of the processes whose name contains $1.
status=1
for directory in /proc/[0-9]*; do
  id=\${directory#/proc/}
  if [ "$id" = $$ ]; then continue; fi
  read -r name 2>/dev/null < "$directory/comm" || continue
  case $name in *"$1"*) echo "$id"; status=0 ;; esac
done
exit $status
`;
// critest searches for a segment's id in the whole output, so there must be no digit where there is no segment.
const ipcsScript = `#!/bin/sh
# Shared memory segments of this IPC namespace: id, owner, mode, bytes.
echo "shmid owner perms bytes"
awk 'NR > 1 { print $2, $8, $3, $4 }' /proc/sysvipc/shm
`;

export async function busyboxLayerForCritest(): Promise<Layer> {
  // The shell is the dynamic busybox: the static one runs applets without searching for them in /bin, so that a masked
  // /bin/ls would still work in it; and the spec wants the exact words of busybox's error.
  const tree = debianTree('busybox');
  const shell = inTree(tree, 'bin/busybox', 'usr/bin/busybox');
  const libraries = await librariesOf(tree, shell);
  const scripts = { 'bin/pgrep': pgrepScript, 'bin/ipcs': ipcsScript };
  return layerOf([
    ...busyboxEntries(staticBusybox(), ['sh', 'pgrep', 'ipcs']),
    file('bin/sh', readFileSync(shell), 0o755),
    ...libraryEntries(libraries),
    ...Object.entries(scripts).map(([path, text]) => file(path, text, 0o755)),
  ]);
}

const nginxConfig = (port: number): string => `user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen ${port};
    root /usr/share/nginx/html;
  }
}
`;

export async function nginxLayer(): Promise<Layer> {
  const tree = debianTree('nginx');
  const program = inTree(tree, 'usr/sbin/nginx');
  const page = '<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>\n';
  return layerOf([
    ...libraryEntries(await librariesOf(tree, program)),
    ...['etc', 'etc/nginx', 'usr', 'usr/sbin', 'usr/share', 'usr/share/nginx', 'usr/share/nginx/html'].map(
      (path) => directory(path),
    ),
    ...['var', 'var/log', 'var/log/nginx', 'var/run', 'var/lib', 'var/lib/nginx'].map((path) =>
      directory(path),
    ),
    file('usr/sbin/nginx', readFileSync(program), 0o755),
    file('usr/share/nginx/html/index.html', page),
  ]);
}

export const nginxCommand: RunConfig = { Entrypoint: ['nginx', '-g', 'daemon off;'], StopSignal: 'SIGQUIT' };
export const configLayer = (port: number): Layer =>
  layerOf([directory('etc'), directory('etc/nginx'), file('etc/nginx/nginx.conf', nginxConfig(port))]);

/** The web servers: nginx on port 80, the same with the word httpd in its log, and one for the host's network. */
function webServers(busybox: Layer, nginx: Layer): [string, Image][] {
  const on80 = [busybox, nginx, configLayer(80)];
  const exposed = { ExposedPorts: { '80/tcp': {} } };
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  return [
    [`${E2E}/nginx:1.14-2`, imageOf({ ...nginxCommand, ...exposed }, on80)],
    [
      `${E2E}/httpd:2.4.39-4`,
      imageOf(
        { Entrypoint: ['sh', '-c', 'echo httpd starts; exec nginx -g "daemon off;"'], ...exposed },
        on80,
      ),
    ],
    [`${STAGING}/hostnet-nginx-${arch}:latest`, imageOf(nginxCommand, [busybox, nginx, configLayer(12003)])],
  ];
}

/** Images that differ in their USER only, and one whose /etc/group puts its user into a further group. */
function userImages(busybox: Layer): [string, Image][] {
  const users = {
    uid: '1002',
    username: 'www-data',
    'uid-group': '1003:1004',
    'username-group': 'www-data:1004',
  };
  const predefined = layerOf([
    ...userEntries({
      passwd: ['default-user:x:1000:1000::/home/default-user:/bin/sh'],
      group: ['default-user:x:1000:', 'group-defined-in-image:x:50000:default-user'],
    }),
  ]);
  return [
    ...Object.entries(users).map(([name, user]): [string, Image] => [
      `${STAGING}/test-image-user-${name}:latest`,
      imageOf({ User: user, Cmd: ['sh'] }, [busybox]),
    ]),
    [
      `${STAGING}/test-image-predefined-group:latest`,
      imageOf({ User: '1000', Cmd: ['sh'] }, [busybox, predefined]),
    ],
  ];
}

/** Images that are only pulled, listed and removed: different ones under different names, one under three tags. */
function imagesForLists(busybox: Layer): [string, Image][] {
  const distinct = (name: string): Image => imageOf({ Cmd: ['sh'] }, [busybox, emptyFileLayer(name)]);
  const same = distinct('same-under-all-tags');
  return [
    ...['1', '2', '3', 'latest'].map((name): [string, Image] => [
      `${STAGING}/test-image-${name}:latest`,
      distinct(`test-image-${name}`),
    ]),
    ...['test', 'all'].map((tag): [string, Image] => [
      `${STAGING}/test-image-tag:${tag}`,
      distinct(`test-image-tag-${tag}`),
    ]),
    ...['1', '2', '3'].map((tag): [string, Image] => [`${STAGING}/test-image-tags:${tag}`, same]),
  ];
}

/**
 * The image which critest pulls by digest: nothing of Debian's in it and no compression, so that its digest never
 * changes on machines of an architecture.
 */
export const imageByDigestFor = (arch: string): Image =>
  imageOf({}, [layerOf([file('test-image-digest', '')], 'none')], undefined, arch);
export const imageByDigest: Image = imageByDigestFor(process.arch);

/** All of critest's images by `repository:tag`, without the host. */
export async function critestImages(): Promise<Map<string, Image>> {
  const busybox = await busyboxLayerForCritest();
  const nginx = await nginxLayer();
  const effectiveUid = layerOf([file('effective-uid', await compiled('effective-uid'), 0o4755)]);
  const pause = layerOf([file('pause', await compiled('pause'), 0o755)]);
  return new Map([
    [`${E2E}/busybox:1.29-2`, imageOf({ Cmd: ['sh'] }, [busybox])],
    ...webServers(busybox, nginx),
    // A file of uid 0 with the setuid bit.
    [`${E2E}/nonewprivs:1.3`, imageOf({ Entrypoint: ['/effective-uid'] }, [effectiveUid])],
    ...userImages(busybox),
    ...imagesForLists(busybox),
    [`${STAGING}/test-image-digest:latest`, imageByDigest],
    [
      'pause:3.9',
      imageOf({ User: '65535:65535', Entrypoint: ['/pause'], Labels: { version: '3.9' } }, [pause]),
    ],
  ]);
}

/** A registries.conf (v2) that sends critest's image hosts to a registry on plain HTTP. */
export const critestRegistriesConf = (address: string): string =>
  critestHosts
    .map(
      (host) =>
        `[[registry]]\nlocation = "${host}"\n[[registry.mirror]]\nlocation = "${address}"\ninsecure = true\n`,
    )
    .join('\n');
