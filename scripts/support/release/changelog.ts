// CHANGELOG.md: what is under "Unreleased" becomes the section of a release. Pure.

const OPEN = '## Unreleased';

/** What is under "Unreleased", without the heading; undefined where there is no such section. */
function openSection(text: string): { readonly from: number; readonly to: number } | undefined {
  const from = text.indexOf(`\n${OPEN}\n`);
  if (from === -1) return undefined;
  const next = text.indexOf('\n## ', from + OPEN.length);
  return { from: from + 1, to: next === -1 ? text.length : next + 1 };
}

/** Why nothing of it can be released; '' where it can. */
export function changelogProblem(text: string, version: string): string {
  if (new RegExp(`^## ${version.replaceAll('.', '\\.')}\\b`, 'mu').test(text))
    return `CHANGELOG.md has a section ${version} already`;
  const section = openSection(text);
  if (section === undefined) return `CHANGELOG.md has no section "${OPEN}"`;
  return /^- /mu.test(text.slice(section.from, section.to)) ? '' : `CHANGELOG.md: "${OPEN}" is empty`;
}

/** With the open section under the release's name, and an empty one above it. */
export function withSection(text: string, version: string, day: string): string {
  return text.replace(`\n${OPEN}\n`, `\n${OPEN}\n\n## ${version} (${day})\n`);
}

/** The lines of a release, without its heading. */
export function sectionOf(text: string, version: string): string {
  const heading = new RegExp(`^## ${version.replaceAll('.', '\\.')}\\b.*$`, 'mu').exec(text);
  if (heading === null) throw new Error(`CHANGELOG.md has no section ${version}`);
  const [section = ''] = text.slice(heading.index + heading[0].length).split('\n## ');
  return section.trim();
}
