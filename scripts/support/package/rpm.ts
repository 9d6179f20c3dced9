// The .rpm, packed by rpmbuild: the same tree as the .deb's, with the scripts in rpm's words.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Architecture, NAMES } from './architectures.ts';
import { directoriesOf, type PackedEntry, sorted } from './entries.ts';
import { DESCRIPTION, packageVersion, scriptlet, SUMMARY } from './metadata.ts';
import { runTool } from './run-tool.ts';
import { stage } from './staged.ts';
import { CONFIGURATION } from './system-tree.ts';
import { GZIP_LEVEL } from './tarball.ts';

/** Directories that are ours; the others belong to the distribution. */
const IS_OURS = /^(?:etc|usr\/lib|usr\/share\/doc)\/troupe(?:\/|$)/u;
const SCRIPTS = ['post', 'preun', 'postun', 'posttrans'];

/** The place of a tree that rpmbuild must neither strip nor compress nor ask for what its files need. */
const MACROS: Readonly<Record<string, string>> = {
  debug_package: '%{nil}',
  __os_install_post: '%{nil}',
  _build_id_links: 'none',
  // the same bytes on every machine and day
  _buildhost: 'localhost',
  use_source_date_epoch_as_buildtime: '1',
  clamp_mtime_to_source_date_epoch: '1',
  _binary_payload: `w${GZIP_LEVEL}.gzdio`,
  _build_id_algo: 'none',
};

const fileLines = (entries: readonly PackedEntry[]): readonly string[] => [
  ...directoriesOf(entries)
    .filter((path) => IS_OURS.test(path))
    .map((path) => `%dir %attr(0755,root,root) "/${path}"`),
  ...sorted(entries).map((entry) => {
    const config = entry.path === CONFIGURATION ? '%config(noreplace) ' : '';
    const mode = 'link' in entry ? '-' : `0${entry.mode.toString(8)}`;
    return `${config}%attr(${mode},root,root) "/${entry.path}"`;
  }),
];

const specOf = (entries: readonly PackedEntry[], version: string, license: string, tree: string): string =>
  [
    'Name: troupe',
    `Version: ${packageVersion(version)}`,
    'Release: 1',
    `Summary: ${SUMMARY}`,
    `License: ${license}`,
    'Group: System Environment/Daemons',
    // its reader of ELF files would ask for Node's libraries by symbols that no distribution for arm64 is asked here
    'AutoReqProv: no',
    'Requires: glibc >= 2.34',
    'Requires: libstdc++',
    'Requires: libgcc',
    'Requires: (runc or crun)',
    'Requires: conmon',
    'Recommends: containernetworking-plugins',
    'Recommends: (nftables or iptables)',
    'Recommends: iproute',
    'Suggests: crun',
    'Suggests: fuse-overlayfs',
    'Suggests: criu',
    '',
    '%description',
    ...DESCRIPTION,
    '',
    '%install',
    `cp -al "${tree}/." "%{buildroot}/"`,
    '',
    ...SCRIPTS.flatMap((name) => [`%${name}`, ...bodyOf(scriptlet(`rpm.${name}`)), '']),
    '%files',
    ...fileLines(entries),
    '',
  ].join('\n');

/** Without the first line, which rpm writes itself; a per cent sign is rpm's own. */
const bodyOf = (script: string): readonly string[] =>
  script.replaceAll('%', '%%').trimEnd().split('\n').slice(1);

/** @param work an empty directory  @param license an SPDX expression of all that is in it  @param target the file */
export async function makeRpm(
  system: readonly PackedEntry[],
  about: { architecture: Architecture; version: string; license: string; seconds: number },
  work: string,
  target: string,
): Promise<void> {
  const tree = join(work, 'tree');
  stage(system, tree, about.seconds);
  const spec = join(work, 'troupe.spec');
  writeFileSync(spec, specOf(system, about.version, about.license, tree));
  const defines = Object.entries({ ...MACROS, _topdir: join(work, 'rpmbuild'), _rpmdir: work }).flatMap(
    ([name, value]) => ['--define', `${name} ${value}`],
  );
  const machine = NAMES[about.architecture].rpm;
  mkdirSync(join(work, 'rpmbuild'));
  await runTool(['rpmbuild', '-bb', '--quiet', '--target', `${machine}-linux`, ...defines, spec], {
    SOURCE_DATE_EPOCH: String(about.seconds),
  });
  copyFileSync(join(work, machine, `troupe-${packageVersion(about.version)}-1.${machine}.rpm`), target);
}
