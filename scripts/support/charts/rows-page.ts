// docs/rows.md: what the codes F12, I7 and S89 in names of tests, comments and the change log stand for.

const KINDS = [
  ['F', 'Faults', 'What goes wrong by itself: crashes, full disks, tools and networks that hang or lie.'],
  ['I', 'Invariants', 'What holds after every fault, in the simulation and on real machines.'],
  ['S', 'Attacks', 'What a pod, an image, a registry or another user of the node may try.'],
] as const;

const HEAD = `# Rows

The codes in names of tests, comments and the change log. A test that proves a row has its code in its name:
\`grep -r "F12" test\` finds it. \`node scripts/rows.ts\` prints the rows without a test; \`npm run mutants\` takes out the
guard behind each S row and expects its test to fail.
`;

/** @param rows text of test/rows.txt: a code, a blank, what it stands for; a line each */
export function rowsPage(rows: string): string {
  const lines = rows.split('\n').filter((line) => /^[FIS]\d/u.test(line));
  const sections = KINDS.map(([letter, title, what]) => {
    const table = lines
      .filter((line) => line.startsWith(letter))
      .map((line) => `| ${line.replace(' ', ' | ').replaceAll('<', '&lt;')} |`);
    return `\n## ${title}\n\n${what}\n\n| code | stands for |\n|---|---|\n${table.join('\n')}\n`;
  });
  return HEAD + sections.join('');
}
