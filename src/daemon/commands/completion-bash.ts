/** The completion of bash 4.2 and later, without the package bash-completion. Pure. */
import { cliLimits } from '../bounds.ts';
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import {
  FIRST_OPTIONS,
  optionsOf,
  optionsWithValue,
  placeOptions,
  shellQuoted,
  SAFE_NAME,
} from './completed.ts';
import type { NamedOption } from './completed.ts';
import type { Completion } from './description.ts';

export function bashCompletion(): string {
  return [
    '# Completion of troupe for bash: source <(troupe completion bash)',
    ...NAMES,
    '',
    ...REPLY,
    '',
    ...main(),
    '',
    'complete -F _troupe troupe',
    '',
  ].join('\n');
}

/** Fills COMPREPLY: from words by their beginning, from files, or from names of the daemon. */
const NAMES = [
  '_troupe_names() {',
  '  local name',
  '  while IFS= read -r name; do',
  `    [[ $name =~ ^${SAFE_NAME}$ ]] && printf '%s\\n' "$name"`,
  `  done < <(timeout ${cliLimits.namesSeconds} troupe "\${places[@]}" ps -o name 2>/dev/null)`,
  '}',
];

const REPLY = [
  '_troupe_reply() {',
  '  local word',
  '  case $1 in',
  '    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;',
  '    directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;',
  '    what) while IFS= read -r word; do [[ $word == "$cur"* ]] && COMPREPLY+=("$word"); done < <(_troupe_names) ;;',
  '    namespace)',
  '      while IFS= read -r word; do [[ $word == "$cur"* ]] && COMPREPLY+=("$word"); done \\',
  '        < <(_troupe_names | cut -d/ -f1 | sort -u) ;;',
  '    *) for word in $2; do [[ $word == "$cur"* ]] && COMPREPLY+=("$word"); done ;;',
  '  esac',
  '  return 0',
  '}',
];

function main(): readonly string[] {
  return [
    '_troupe() {',
    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' count=0 at word",
    '  local -a places=()',
    '  COMPREPLY=()',
    '  # bash ends a word at the equals sign of --option=value',
    "  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi",
    '  for ((at = 1; at < COMP_CWORD; at++)); do',
    '    word=${COMP_WORDS[at]}',
    '    case $word in',
    `      ${optionsWithValue().join('|')})`,
    "        [[ ${COMP_WORDS[at+1]} == '=' ]] && ((at++))",
    '        ((at++))',
    `        case $word in ${placeOptions().join('|')}) places+=("$word" "\${COMP_WORDS[at]}") ;; esac ;;`,
    '      -*) ;;',
    '      *) if [[ -z $command ]]; then command=$word; else ((count++)); fi ;;',
    '    esac',
    '  done',
    '  case "$command $prev" in',
    ...FIRST_OPTIONS.flatMap(([name, option]) => valueCase('*', [name, option])),
    ...COMMAND_NAMES.flatMap((command) =>
      Object.entries(descriptionOf(command).options ?? {}).flatMap((option) => valueCase(command, option)),
    ),
    '  esac',
    '  case "$command" in',
    `    '') if [[ $cur == -* ]]; then _troupe_reply words ${shellQuoted(dashed(FIRST_OPTIONS))}; else _troupe_reply words ${shellQuoted(COMMAND_NAMES.join(' '))}; fi ;;`,
    ...COMMAND_NAMES.flatMap((command) => [`    ${command})`, ...commandCase(command), '      ;;']),
    '  esac',
    '}',
  ];
}

/** What follows an option: nothing is offered where we know nothing. */
function valueCase(
  command: string,
  [name, { letter, value, completes, choices }]: NamedOption,
): readonly string[] {
  if (value === undefined) return [];
  const lead = command === '*' ? '*' : `'${command}'`;
  const patterns = [`--${name}`, ...(letter === undefined ? [] : [`-${letter}`])].map(
    (option) => `${lead}' ${option}'`,
  );
  return [`    ${patterns.join('|')}) ${reply(completes, choices)}; return ;;`];
}

function commandCase(command: CommandName): readonly string[] {
  const { words = [] } = descriptionOf(command);
  return [
    `      if [[ $cur == -* ]]; then _troupe_reply words ${shellQuoted(dashed(optionsOf(command)))}`,
    ...words.map(
      ({ completes, choices }, at) => `      elif ((count == ${at})); then ${reply(completes, choices)}`,
    ),
    '      fi',
  ];
}

function reply(completes: Completion | undefined, choices: readonly string[] | undefined): string {
  if (choices !== undefined) return `_troupe_reply words ${shellQuoted(choices.join(' '))}`;
  if (completes === 'command') return `_troupe_reply words ${shellQuoted(COMMAND_NAMES.join(' '))}`;
  return completes === undefined ? ':' : `_troupe_reply ${completes}`;
}

function dashed(options: readonly NamedOption[]): string {
  return options
    .flatMap(([name, { letter }]) => [`--${name}`, ...(letter === undefined ? [] : [`-${letter}`])])
    .join(' ');
}
