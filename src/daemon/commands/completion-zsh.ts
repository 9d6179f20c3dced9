/** The completion of zsh, by its own _arguments. Pure. */
import { cliLimits } from '../bounds.ts';
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import { FIRST_OPTIONS, optionsOf, placeOptions, shellQuoted, SAFE_NAME } from './completed.ts';
import type { NamedOption } from './completed.ts';
import type { Completion } from './description.ts';

export function zshCompletion(): string {
  return [
    '#compdef troupe',
    '# Completion of troupe for zsh: troupe completion zsh > DIRECTORY-OF-$fpath/_troupe',
    ...NAMES,
    '',
    '_troupe() {',
    '  local curcontext="$curcontext" state line',
    '  local -a commands places',
    '  typeset -A opt_args',
    `  _arguments -C ${spread(FIRST_OPTIONS.map(optionSpec))} \\`,
    "    '1:command:->command' '*::argument:->argument'",
    '  case $state in',
    '    (command)',
    '      commands=(',
    ...COMMAND_NAMES.map((name) => `        ${shellQuoted(`${name}:${descriptionOf(name).brief}`)}`),
    '      )',
    '      _describe -t commands command commands ;;',
    '    (argument)',
    '      case $line[1] in',
    ...COMMAND_NAMES.map(commandCase),
    '      esac ;;',
    '  esac',
    '}',
    '',
    'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _troupe "$@"; else compdef _troupe troupe; fi',
    '',
  ].join('\n');
}

const NAMES = [
  '_troupe_names() {',
  '  local option',
  '  local -a places',
  `  for option in ${placeOptions().join(' ')}; do`,
  '    [[ -n ${opt_args[$option]} ]] && places+=($option ${(Q)opt_args[$option]})',
  '  done',
  `  timeout ${cliLimits.namesSeconds} troupe $places ps -o name 2>/dev/null | grep -Ex ${shellQuoted(SAFE_NAME)}`,
  '}',
  '',
  '_troupe_what() {',
  '  local -a names=(${(f)"$(_troupe_names)"})',
  '  compadd -a names',
  '}',
  '',
  '_troupe_namespace() {',
  '  local -a names=(${(f)"$(_troupe_names | cut -d/ -f1 | sort -u)"})',
  '  compadd -a names',
  '}',
];

function commandCase(command: CommandName): string {
  const { words = [] } = descriptionOf(command);
  const specs = [
    ...optionsOf(command).map(optionSpec),
    ...words.map(({ name, completes, choices, isOptional }, at) =>
      shellQuoted(`${at + 1}:${isOptional === true ? ':' : ''}${name}:${action(completes, choices)}`),
    ),
  ];
  return `        (${command}) _arguments ${spread(specs)} ;;`;
}

/** An option of _arguments: both its forms exclude each other. */
function optionSpec([name, { letter, value, help, completes, choices }]: NamedOption): string {
  const about = `[${help.replaceAll(/[\][:\\]/gu, String.raw`\$&`)}]`;
  const rest = value === undefined ? about : `${about}:${value}:${action(completes, choices)}`;
  const long = `--${name}${value === undefined ? '' : '='}`;
  if (letter === undefined) return shellQuoted(long + rest);
  const short = `-${letter}${value === undefined ? '' : '+'}`;
  return `${shellQuoted(`(-${letter} --${name})`)}{${short},${long}}${shellQuoted(rest)}`;
}

function action(completes: Completion | undefined, choices: readonly string[] | undefined): string {
  if (choices !== undefined) return `(${choices.join(' ')})`;
  switch (completes) {
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'what':
    case 'namespace':
      return `_troupe_${completes}`;
    case 'command':
      return `(${COMMAND_NAMES.join(' ')})`;
    default:
      return ' ';
  }
}

const spread = (specs: readonly string[]): string => specs.map((spec) => `\\\n    ${spec}`).join(' ');
