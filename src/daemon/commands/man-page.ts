/** Manual pages in the macros of man(7): troupe(1), and one for each command. Pure. */
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import { GROUPS } from './description.ts';
import type { OptionDescription } from './description.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';
import { EXIT_CODES, globalsOf, optionName, synopsis } from './help-text.ts';

/** The name of a page's file: `troupe.1`, `troupe-ps.1`. */
export const manFile = (name?: CommandName): string => `${pageName(name)}.1`;

const pageName = (name?: string): string => (name === undefined ? 'troupe' : `troupe-${name}`);

const SUMMARY = 'a container runtime for Kubernetes (CRI) in which every pod is a statechart';

/** The page of one command, or troupe(1). */
export function manPage(version: string, name?: CommandName): string {
  const head = `.TH ${pageName(name).toUpperCase()} 1 "" "troupe ${version}" "troupe"`;
  return [head, ...(name === undefined ? overviewPage() : commandPage(name)), ''].join('\n');
}

function overviewPage(): readonly string[] {
  return [
    ...named('troupe', SUMMARY),
    '.SH SYNOPSIS',
    `${bold('troupe')} [${italic('OPTION')}]... ${italic('COMMAND')} [${italic('ARGUMENT')}]...`,
    '.SH DESCRIPTION',
    'troupe serves the CRI to a kubelet. Its other commands show what the running daemon does, and keep a node clean.',
    ...Object.entries(GROUPS).flatMap(([group, title]) => [
      `.SS ${text(title)}`,
      ...COMMAND_NAMES.filter((name) => descriptionOf(name).group === group).flatMap((name) =>
        entry(`.BR troupe\\-${exact(name)} (1)`, descriptionOf(name).brief),
      ),
    ]),
    ...optionSection('OPTIONS', Object.entries(GLOBAL_OPTIONS)),
    '.SH EXIT STATUS',
    ...exits(EXIT_CODES),
    '.SH FILES',
    ...entry(italic('/etc/troupe/troupe.toml'), 'the configuration; drop-ins in troupe.toml.d'),
    ...entry(italic('/var/lib/troupe'), 'journal and images'),
    ...entry(italic('/run/troupe'), 'sockets and what a reboot may delete'),
  ];
}

function commandPage(name: CommandName): readonly string[] {
  const description = descriptionOf(name);
  const { brief, options = {}, examples, seeAlso = [] } = description;
  const [program, command, ...rest] = synopsis(name);
  const others = [undefined, ...seeAlso].map((other) => `.BR ${exact(pageName(other))} (1)`);
  return [
    ...named(pageName(name), brief),
    '.SH SYNOPSIS',
    `${bold(`${program} ${command}`)} ${rest.map(exact).join(' ')}`.trimEnd(),
    '.SH DESCRIPTION',
    ...description.text.flatMap((paragraph, at) => [...paragraphAfter(at), text(paragraph)]),
    ...optionSection('OPTIONS', [...Object.entries(options), ...globalsOf(description)]),
    '.SH EXAMPLES',
    ...Object.entries(examples).flatMap(([does, line], at) => [
      ...paragraphAfter(at),
      `${text(does)}:`,
      '.RS 4',
      '.EX',
      exact(line),
      '.EE',
      '.RE',
    ]),
    '.SH EXIT STATUS',
    ...exits(description.exits),
    '.SH SEE ALSO',
    others.join(',\n'),
  ];
}

/** A heading begins a paragraph itself. */
const paragraphAfter = (at: number): readonly string[] => (at === 0 ? [] : ['.PP']);

function named(name: string, brief: string): readonly string[] {
  return ['.SH NAME', `${exact(name)} \\- ${text(brief)}`];
}

function optionSection(
  title: string,
  options: readonly (readonly [string, OptionDescription])[],
): readonly string[] {
  if (options.length === 0) return [];
  return [
    `.SH ${title}`,
    ...options.flatMap(([name, option]) => {
      const { help, choices } = option;
      return entry(
        bold(optionName(name, option)),
        choices === undefined ? help : `${help} (${choices.join(', ')})`,
      );
    }),
  ];
}

function exits(codes: Readonly<Record<number, string>>): readonly string[] {
  return Object.entries(codes).flatMap(([code, when]) => entry(bold(code), when));
}

/** A tagged paragraph. */
function entry(tag: string, body: string): readonly string[] {
  return ['.TP', tag, text(body)];
}

const bold = (word: string): string => `\\fB${exact(word)}\\fR`;
const italic = (word: string): string => `\\fI${exact(word)}\\fR`;

/** Text to be typed as it is: its hyphens and quotes are those of ASCII. */
function exact(words: string): string {
  return escaped(words).replaceAll('-', '\\-').replaceAll("'", '\\(aq');
}

function text(words: string): string {
  return escaped(words);
}

/** Escapes what roff would read as a request or an escape, and characters beyond ASCII. */
function escaped(words: string): string {
  return words
    .replaceAll('\\', '\\(rs')
    .replace(/^(?=[.'])/u, '\\&')
    .replaceAll(/[^ -~]/gu, (letter) => {
      const code = letter.codePointAt(0)?.toString(16).toUpperCase() ?? '';
      return `\\[u${code.padStart(4, '0')}]`;
    });
}
