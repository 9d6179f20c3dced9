/** The completion of fish. Pure. */
import { cliLimits } from '../bounds.ts';
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import { FIRST_OPTIONS, optionsOf, optionsWithValue, placeOptions, SAFE_NAME } from './completed.ts';
import type { NamedOption } from './completed.ts';
import type { Completion } from './description.ts';

const NO_COMMAND = "'not __troupe_command >/dev/null'";

export function fishCompletion(): string {
  return [
    '# Completion of troupe for fish: troupe completion fish > ~/.config/fish/completions/troupe.fish',
    ...FUNCTIONS,
    'complete -c troupe -f',
    ...FIRST_OPTIONS.map((option) => optionLine(NO_COMMAND, option)),
    ...COMMAND_NAMES.map(
      (name) => `complete -c troupe -n ${NO_COMMAND} -a ${name} -d ${fishQuoted(descriptionOf(name).brief)}`,
    ),
    ...COMMAND_NAMES.flatMap(commandLines),
    '',
  ].join('\n');
}

const FUNCTIONS = [
  '# the command of the line; status 1 if it has none yet',
  'function __troupe_command',
  '    set -l words (commandline -opc)',
  '    set -e words[1]',
  '    set -l is_value 0',
  '    for word in $words',
  '        if test $is_value = 1',
  '            set is_value 0',
  '            continue',
  '        end',
  '        switch $word',
  `            case ${optionsWithValue().join(' ')}`,
  '                set is_value 1',
  "            case '-*'",
  "            case '*'",
  '                echo $word',
  '                return 0',
  '        end',
  '    end',
  '    return 1',
  'end',
  '',
  'function __troupe_is',
  '    contains -- $argv[1] (__troupe_command)',
  'end',
  '',
  'function __troupe_names',
  '    set -l places',
  '    set -l words (commandline -opc)',
  '    for at in (seq 2 (count $words))',
  `        if contains -- $words[$at] ${placeOptions().join(' ')}`,
  '            set -a places $words[$at] $words[(math $at + 1)]',
  '        end',
  '    end',
  `    timeout ${cliLimits.namesSeconds} troupe $places ps -o name 2>/dev/null | string match -r '^${SAFE_NAME}$'`,
  'end',
  '',
  'function __troupe_namespaces',
  "    __troupe_names | string replace -r '/.*' '' | sort -u",
  'end',
  '',
];

function commandLines(command: CommandName): readonly string[] {
  const condition = `'__troupe_is ${command}'`;
  const { words = [] } = descriptionOf(command);
  return [
    ...optionsOf(command).map((option) => optionLine(condition, option)),
    ...words.flatMap(({ completes, choices }) => {
      const offered = offer(completes, choices);
      return offered === '' ? [] : [`complete -c troupe -n ${condition} ${offered}`];
    }),
  ];
}

function optionLine(condition: string, [name, option]: NamedOption): string {
  const { letter, value, help, completes, choices } = option;
  const parts = [
    `complete -c troupe -n ${condition}`,
    ...(letter === undefined ? [] : [`-s ${letter}`]),
    `-l ${name}`,
    // -x: with a value, and no files beside what is offered
    ...(value === undefined
      ? []
      : [`${completes === 'file' ? '-r' : '-x'} ${offer(completes, choices)}`.trimEnd()]),
    `-d ${fishQuoted(help)}`,
  ];
  return parts.join(' ');
}

function offer(completes: Completion | undefined, choices: readonly string[] | undefined): string {
  if (choices !== undefined) return `-a ${fishQuoted(choices.join(' '))}`;
  switch (completes) {
    case 'file':
      return '-F';
    case 'directory':
      return "-a '(__fish_complete_directories)'";
    case 'what':
      return "-a '(__troupe_names)'";
    case 'namespace':
      return "-a '(__troupe_namespaces)'";
    case 'command':
      return `-a ${fishQuoted(COMMAND_NAMES.join(' '))}`;
    default:
      return '';
  }
}

/** In fish's single quotes only the quote and the backslash are special. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
