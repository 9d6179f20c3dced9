// docs/releases.tsv: each release with its commit. A clone may lack the tags, and a commit's hash can't stand in the
// commit itself, so the line comes with the commit after it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './checkout.ts';

export interface Release {
  readonly version: string;
  /** The commit that is tagged. */
  readonly commit: string;
  /** Day of the release: yyyy-mm-dd. */
  readonly day: string;
}

export const RELEASES = 'docs/releases.tsv';
export const RELEASES_HEAD = 'version\tcommit\tday\n';

/** The releases, oldest first. Throws for a line of another form. */
export function parseReleases(text: string): readonly Release[] {
  if (!text.startsWith(RELEASES_HEAD))
    throw new Error(`${RELEASES}: the first line must be ${RELEASES_HEAD}`);
  return text
    .slice(RELEASES_HEAD.length)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = /^(\d+\.\d+\.\d+)\t([0-9a-f]{40})\t(\d{4}-\d{2}-\d{2})$/u.exec(line);
      const [, version, commit, day] = fields ?? [];
      if (version === undefined || commit === undefined || day === undefined)
        throw new Error(`${RELEASES}: not a release: ${line}`);
      return { version, commit, day };
    });
}

/** The releases of this checkout, oldest first. */
export const releases = (directory = checkout): readonly Release[] =>
  parseReleases(readFileSync(join(directory, RELEASES), 'utf8'));
