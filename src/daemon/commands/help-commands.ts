/** The commands that help with the others. */
import type { CommandDescription } from './description.ts';

export const HELP_COMMANDS = {
  help: {
    group: 'help',
    brief: 'this list, or the help of one command, as COMMAND --help prints it',
    text: ['Prints all commands, or what one does, its options, examples and exit codes.'],
    words: [{ name: 'COMMAND', means: 'command', completes: 'command', isOptional: true }],
    globals: [],
    needs: 'nothing',
    examples: { 'one command': 'troupe help why' },
    exits: { 0: 'success', 2: 'no such command' },
    seeAlso: ['man'],
  },
  completion: {
    group: 'help',
    brief: 'a script by which bash, zsh or fish complete commands, options and names',
    text: [
      'Prints the script. Names of pods and containers are asked of the running daemon, which the user of the shell must ' +
        'be allowed to ask.',
    ],
    words: [{ name: 'SHELL', means: 'shell', choices: ['bash', 'zsh', 'fish'] }],
    globals: [],
    needs: 'nothing',
    examples: {
      'for this shell': 'source <(troupe completion bash)',
      'for all users of bash': 'troupe completion bash > /etc/bash_completion.d/troupe',
      'for zsh': 'troupe completion zsh > /usr/local/share/zsh/site-functions/_troupe',
      'for fish': 'troupe completion fish > ~/.config/fish/completions/troupe.fish',
    },
    exits: { 0: 'success', 2: 'wrong usage' },
    seeAlso: ['man', 'help'],
  },
  man: {
    group: 'help',
    brief: 'the manual page of troupe or of one command; with --write all of them as files',
    text: ['Prints a page for man(1). It says the same as the help, for those who read it there.'],
    words: [{ name: 'COMMAND', means: 'command', completes: 'command', isOptional: true }],
    options: {
      write: { value: 'DIR', completes: 'directory', help: 'write all pages to DIR, and print their paths' },
    },
    globals: [],
    needs: 'nothing',
    examples: {
      'read one': 'troupe man why | man -l -',
      'install all': 'troupe man --write /usr/local/share/man/man1',
    },
    exits: { 0: 'success', 1: 'a page could not be written', 2: 'wrong usage' },
    seeAlso: ['help', 'completion'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
