// The .deb, packed by Debian's own dpkg-deb.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Architecture, NAMES } from './architectures.ts';
import { contentOf, type PackedEntry, sorted } from './entries.ts';
import { DESCRIPTION, LICENSE, MAINTAINER, packageVersion, scriptlet, SUMMARY } from './metadata.ts';
import { runTool } from './run-tool.ts';
import { stage } from './staged.ts';
import { CONFIGURATION } from './system-tree.ts';
import { GZIP_LEVEL } from './tarball.ts';

const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm'];

/**
 * glibc as the start asks for it (src/host/ffi/check.ts); the monitor and a runtime without which no container runs.
 */
const DEPENDS = 'libc6 (>= 2.34), libstdc++6 (>= 8), libgcc-s1 | libgcc1, runc | crun, conmon';
/** A cluster's network often brings plugins of its own. */
const RECOMMENDS = 'containernetworking-plugins, nftables | iptables, iproute2';
const SUGGESTS = 'crun, fuse-overlayfs, criu, iptables';

const control = (architecture: Architecture, version: string, kib: number): string =>
  [
    'Package: troupe',
    `Version: ${packageVersion(version)}`,
    `Architecture: ${NAMES[architecture].deb}`,
    `Maintainer: ${MAINTAINER}`,
    `Installed-Size: ${kib}`,
    `Depends: ${DEPENDS}`,
    `Recommends: ${RECOMMENDS}`,
    `Suggests: ${SUGGESTS}`,
    'Section: admin',
    'Priority: optional',
    `Description: ${SUMMARY}`,
    ...DESCRIPTION.map((line) => ` ${line}`),
    '',
  ].join('\n');

/** Debian's form of LICENSE, under the name that its policy wants. */
const copyright = (): PackedEntry => ({
  path: 'usr/share/doc/troupe/copyright',
  mode: 0o644,
  content: [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: troupe',
    '',
    'Files: *',
    'Copyright: the developers of troupe',
    `License: ${LICENSE}`,
    ' The text of the Apache License, version 2.0, is in /usr/share/common-licenses/Apache-2.0.',
    'Comment: Node.js, koffi and the JavaScript libraries in the program have terms of their own:',
    ' /usr/share/doc/troupe/licenses, listed in /usr/share/doc/troupe/sbom.cdx.json.',
    '',
  ].join('\n'),
});

interface Packed {
  readonly md5sums: string;
  readonly kib: number;
}

function sums(entries: readonly PackedEntry[]): Packed {
  const lines: string[] = [];
  let kib = 0;
  for (const entry of sorted(entries)) {
    const content = contentOf(entry);
    kib += Math.ceil((content?.length ?? 0) / 1024) || 1;
    if (content !== undefined && entry.path !== CONFIGURATION)
      lines.push(`${createHash('md5').update(content).digest('hex')}  ${entry.path}\n`);
  }
  return { md5sums: lines.join(''), kib };
}

/** @param work an empty directory for the tree  @param target the file to write */
export async function makeDeb(
  system: readonly PackedEntry[],
  { architecture, version, seconds }: { architecture: Architecture; version: string; seconds: number },
  work: string,
  target: string,
): Promise<void> {
  const entries = [...system, copyright()];
  const { md5sums, kib } = sums(entries);
  const information = (name: string, content: string, mode = 0o644): PackedEntry => ({
    path: `DEBIAN/${name}`,
    content,
    mode,
  });
  stage(
    [
      ...entries,
      information('control', control(architecture, version, kib)),
      information('conffiles', `/${CONFIGURATION}\n`),
      information('md5sums', md5sums),
      ...SCRIPTS.map((name) => information(name, scriptlet(`deb.${name}`), 0o755)),
    ],
    work,
    seconds,
  );
  mkdirSync(dirname(target), { recursive: true });
  await runTool(
    ['dpkg-deb', '--root-owner-group', '-Zgzip', `-z${GZIP_LEVEL}`, '--build', join(work), target],
    { SOURCE_DATE_EPOCH: String(seconds) },
  );
}
