// The notes of a release: its section of the changelog, and how to verify what is downloaded. Pure.

export interface NotesInput {
  readonly version: string;
  readonly commit: string;
  /** Of CHANGELOG.md. */
  readonly section: string;
  /** SHA256SUMS. */
  readonly sums: string;
  /** Name of its signature; '' without one. */
  readonly signature: string;
  readonly olderFigures: readonly string[];
}

/** Markdown. */
export function notesText(input: NotesInput): string {
  const { version, commit, section, sums, signature, olderFigures } = input;
  const verify = ['sha256sum --check --ignore-missing SHA256SUMS'];
  if (signature.endsWith('.asc')) verify.unshift(`gpg --verify ${signature} SHA256SUMS`);
  if (signature.endsWith('.sig'))
    verify.unshift(`ssh-keygen -Y verify -f allowed_signers -I troupe -n file -s ${signature} < SHA256SUMS`);
  return [
    `# troupe ${version}`,
    '',
    `Commit ${commit}.`,
    '',
    section,
    '',
    '## Files',
    '',
    ...(signature === '' ? ['The sums are not signed.', ''] : []),
    '```',
    ...verify,
    '```',
    '',
    '```',
    sums.trimEnd(),
    '```',
    ...(olderFigures.length === 0
      ? []
      : ['', `Figures in docs/figures.md that are of an older commit: ${olderFigures.join(', ')}.`]),
    '',
  ].join('\n');
}
