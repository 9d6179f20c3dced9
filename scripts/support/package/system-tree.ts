// Where a package of a distribution puts the program: everything below /usr/lib/troupe but what other programs expect
// in places of their own.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bashCompletion } from '../../../src/daemon/commands/completion-bash.ts';
import { fishCompletion } from '../../../src/daemon/commands/completion-fish.ts';
import { zshCompletion } from '../../../src/daemon/commands/completion-zsh.ts';
import { COMMAND_NAMES } from '../../../src/daemon/commands/commands.ts';
import { manFile, manPage } from '../../../src/daemon/commands/man-page.ts';
import { checkout } from '../checkout.ts';
import type { PackedEntry } from './entries.ts';

const HOME = 'usr/lib/troupe';
const DOCUMENTS = 'usr/share/doc/troupe';
/** The file that an administrator edits: package managers keep the changes. */
export const CONFIGURATION = 'etc/troupe/troupe.toml';
/** Of the program's tree, what goes to the documents. `licenses` are among the documents, too. */
const IS_DOCUMENT = /^(?:docs|licenses)\/|^(?:README|CHANGELOG|SECURITY)\.md$|^LICENSE$|^sbom\.cdx\.json$/u;
/** Where each family of distributions has completions for zsh. */
export type Family = 'deb' | 'rpm';
const ZSH: Readonly<Record<Family, string>> = {
  deb: 'usr/share/zsh/vendor-completions',
  rpm: 'usr/share/zsh/site-functions',
};

const text = (path: string, content: string | Buffer): PackedEntry => ({ path, content, mode: 0o644 });

/** The units of the daemon itself; drop-ins for others' units are examples. */
const UNITS = readdirSync(join(checkout, 'deploy'))
  .filter((name) => /^troupe\.(?:service|socket)$/u.test(name))
  .toSorted();

/** A unit of deploy/, whose paths are those of a tree below /opt. */
const unit = (name: string): PackedEntry =>
  text(
    `usr/lib/systemd/system/${name}`,
    readFileSync(join(checkout, 'deploy', name), 'utf8')
      .replaceAll('/opt/troupe/README.md', `/${DOCUMENTS}/README.md`)
      .replaceAll('/opt/troupe', `/${HOME}`),
  );

const manualPages = (version: string): readonly PackedEntry[] =>
  [undefined, ...COMMAND_NAMES].map((name) =>
    // gzip as Node writes it has neither time nor name
    text(`usr/share/man/man1/${manFile(name)}.gz`, gzipSync(manPage(version, name), { level: 9 })),
  );

function moved(entry: PackedEntry): PackedEntry {
  const isDocument = IS_DOCUMENT.test(entry.path);
  return { ...entry, path: `${isDocument ? DOCUMENTS : HOME}/${entry.path}` };
}

/** The root file system's part that is ours. @param program the program's tree */
export function systemEntries(
  program: readonly PackedEntry[],
  family: Family,
  version: string,
): readonly PackedEntry[] {
  return [
    ...program.map(moved),
    // pages link to it
    { path: `${DOCUMENTS}/deploy`, link: '../../../lib/troupe/deploy' },
    { path: 'usr/bin/troupe', link: '../lib/troupe/bin/troupe' },
    ...UNITS.map(unit),
    { path: CONFIGURATION, from: join(checkout, 'deploy/troupe.toml'), mode: 0o644 },
    ...manualPages(version),
    text('usr/share/bash-completion/completions/troupe', `${bashCompletion().trimEnd()}\n`),
    text(`${ZSH[family]}/_troupe`, `${zshCompletion().trimEnd()}\n`),
    text('usr/share/fish/vendor_completions.d/troupe.fish', `${fishCompletion().trimEnd()}\n`),
  ];
}
