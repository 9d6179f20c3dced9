import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Image, imageOf, type Layer, layerOf } from './image.ts';
import type { TarEntry } from './tar.ts';

const lines = (...all: string[]): string => `${all.join('\n')}\n`;

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
  'www-data:x:33:33:www-data:/var/www:/bin/false',
  'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
] as const;
const group = [
  'root:x:0:',
  'daemon:x:1:',
  'tty:x:5:',
  'www-data:x:33:',
  'users:x:100:',
  'nogroup:x:65534:',
] as const;

/** What goes into /etc/passwd and /etc/group beside the users that every busybox image of ours has. */
export interface MoreUsers {
  readonly passwd: readonly string[];
  readonly group: readonly string[];
}

/** /etc/passwd and /etc/group. */
export const userEntries = (more: MoreUsers = { passwd: [], group: [] }): TarEntry[] => [
  { type: 'file', path: 'etc/passwd', mode: 0o644, content: lines(...passwd, ...more.passwd) },
  { type: 'file', path: 'etc/group', mode: 0o644, content: lines(...group, ...more.group) },
];

/**
 * A whole small root file system around one statically linked busybox. The applets are hard links, as in the usual
 * busybox image: masking one of several symbolic links would mask busybox itself.
 * @param program path of a static busybox, which is also run once for its list of applets
 * @param without applets that something else takes the place of
 */
export function busyboxEntries(program: string, without: readonly string[] = []): TarEntry[] {
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const directory = (path: string, mode = 0o755): TarEntry => ({ type: 'directory', path, mode });
  return [
    ...['bin', 'sbin', 'usr', 'usr/bin', 'usr/sbin', 'etc', 'home', 'lib', 'proc', 'sys', 'dev', 'run'].map(
      (path) => directory(path),
    ),
    ...['var', 'var/log', 'var/run', 'var/www'].map((path) => directory(path)),
    directory('root', 0o700),
    directory('tmp', 0o1777),
    ...userEntries(),
    { type: 'file', path: 'bin/busybox', mode: 0o755, content: readFileSync(program) },
    ...applets
      .filter((applet) => applet !== 'busybox' && !without.includes(applet))
      .map((applet): TarEntry => ({ type: 'hardlink', path: `bin/${applet}`, target: 'bin/busybox' })),
  ];
}

/** The layer of `busyboxEntries`. */
export const busyboxLayer = (program: string): Layer => layerOf(busyboxEntries(program));

/** An image that runs busybox's shell. */
export const busyboxImage = (program: string): Image => imageOf({ Cmd: ['sh'] }, [busyboxLayer(program)]);
