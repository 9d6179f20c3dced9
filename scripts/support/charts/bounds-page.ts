// docs/bounds.md: every bound of every room on one page.

const HEAD = `# Bounds

Every bound of troupe with its value and reason, drawn from the \`bounds.ts\` of each room. The unit is in the name or in the reason.
Bounds that an administrator may change are settings: [configuration.md](configuration.md).
`;

/** @param files room → text of its bounds.ts: objects of constants, each with a comment */
export function boundsPage(files: ReadonlyMap<string, string>): string {
  return HEAD + [...files].map(([room, text]) => `\n## ${room}\n${objectsOf(text)}`).join('');
}

function objectsOf(text: string): string {
  const objects = text.matchAll(
    /(?:\/\*\* (?<about>[^\n]*) \*\/\n)?export const (?<name>\w+) = \{\n(?<body>[\s\S]*?)\n\} as const;/gu,
  );
  return [...objects]
    .map(({ groups: { about = '', name = '', body = '' } = {} }) => {
      const lines = boundsOf(body).map(([bound, value, why]) => `| \`${bound}\` | ${value} | ${why} |`);
      return `\n### ${name}\n\n${about}\n\n| bound | value | why |\n|---|---|---|\n${lines.join('\n')}\n`;
    })
    .join('');
}

/** Name, value and comment of each constant; one without a comment of its own shares the one above it. */
function boundsOf(body: string): readonly (readonly [string, string, string])[] {
  const entries = body.matchAll(
    /(?: {2}\/\*\*(?<comment>[\s\S]*?)\*\/\n)? {2}(?<name>\w+): (?<value>[^\n]*(?:\n {4}[^\n]*|\n {2}[\])}][^\n]*)*)/gu,
  );
  let why = '';
  return [...entries].map(({ groups: { comment = '', name = '', value = '' } = {} }) => {
    if (comment !== '') why = plain(comment.replaceAll(/\n\s*\*/gu, ' '));
    return [name, `\`${plain(value).replace(/,$/u, '')}\``, why];
  });
}

const plain = (text: string): string =>
  text.replaceAll(/\s+/gu, ' ').trim().replaceAll('|', '\\|').replaceAll('<', '&lt;');
