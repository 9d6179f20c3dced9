// Guards that keep secrets off the disk and out of what is shown.
import type { Mutant } from '../mutant.ts';

const config = 'test/unit/daemon/config-secrets.test.ts';
const journal = 'test/unit/journal/secrets.test.ts';
const lines = 'test/unit/daemon/safe-lines.test.ts';
const screen = 'test/unit/cli/text.test.ts';
const shown = 'test/unit/base/shown-text.test.ts';

export const ofSecrets: readonly Mutant[] = [
  {
    row: 'S91', title: 'the intent of a container holds its program', file: 'src/actors/container/container.effects.ts',
    find: 'spec: recordedSpec(spec), image', replace: 'spec: spec as never, image',
    test: { file: 'test/unit/actors/recorded.test.ts', named: 'S91 no record of a container' },
  },
  {
    row: 'S91', title: 'the record of a failed start quotes its command', file: 'src/actors/container/container.effects.ts',
    find: 'exit: recordedExit(exit), startedAtNs', replace: 'exit: recordedExit({ ...exit }) && exit, startedAtNs',
    test: { file: 'test/unit/actors/recorded.test.ts', named: 'S91 no record of a failed start' },
  },
  {
    row: 'S91', title: 'the record of a failed start of an earlier version stays as it is', file: 'src/actors/recorded.ts',
    find: 'return exit === record.exit ? record : { ...record, exit };', replace: 'return record;',
    test: { file: 'test/unit/actors/recorded.test.ts', named: 'S91 an earlier version.s record' },
  },
  {
    row: 'S91', title: 'a record of an earlier version keeps its program', file: 'src/actors/recorded.ts',
    find: "if (!('command' in spec) && !('args' in spec) && !('env' in spec)) return record;", replace: "if (!('never' in spec)) return record;",
    test: { file: journal, named: 'S91 is written anew without them' },
  },
  {
    row: 'S91', title: 'the reserve is not for the copy without secrets', file: 'src/journal/files.ts',
    find: 'mayUseReserve: hasSecrets }', replace: 'mayUseReserve: false }',
    test: { file: journal, named: 'S91 takes the reserve' },
  },
  {
    row: 'S91', title: 'an old journal with secrets comes back after a power loss', file: 'src/journal/files.ts',
    find: 'if (hadSecrets) await', replace: 'if (number < 0 && hadSecrets) await',
    test: { file: journal, named: 'S91 is written anew without them' },
  },
  {
    row: 'S91', title: 'damaged files stay as they were', file: 'src/journal/journal.ts',
    find: 'await maskDamaged(options, allKept);', replace: 'await maskDamaged(options, []);',
    test: { file: journal, named: 'S91 holds no byte of a program' },
  },
  {
    row: 'S91', title: 'what belongs to no whole record stays in a damaged file', file: 'src/journal/damaged.ts',
    find: 'if (bytes[at] !== 0) bytes[at] = MASK;', replace: 'bytes[at] ||= 0;',
    test: { file: journal, named: 'S91 leaves nothing of a record whose frame is gone' },
  },
  {
    row: 'S91', title: 'a whole record of a damaged file keeps its program', file: 'src/journal/damaged.ts',
    find: 'if (clean === record) return true;', replace: "if (clean.type === record.type) return true;",
    test: { file: journal, named: 'S91 an earlier start kept' },
  },
  {
    row: 'S91', title: 'a damaged file is masked in the bytes that it is compared with', file: 'src/journal/damaged.ts',
    find: 'const masked = new Uint8Array(bytes);', replace: 'const masked = bytes.slice();',
    test: { file: journal, named: 'S91 is made of a copy' },
  },
  {
    row: 'S92', title: 'JSON has the password of a URL', file: 'src/base/secret-url.ts',
    find: 'toJSON(): string {\n    return this.shown;', replace: 'toJSON(): string {\n    return this.#value;',
    test: { file: config, named: 'S92 is in no view' },
  },
  {
    row: 'S92', title: 'what is no URL is shown as it is', file: 'src/base/secret-url.ts',
    find: "if (url === null || url.host === '') return '***';", replace: "if (url === null || url.host === '') return value;",
    test: { file: shown, named: 'S92 canary is shown as' },
  },
  {
    row: 'S92', title: 'the proxy of a file is a plain text', file: 'src/daemon/config.ts',
    find: 'withSecrets(table, schema)', replace: 'withSecrets(table, {})',
    test: { file: config, named: 'S92 is in no view' },
  },
  {
    row: 'S92', title: 'a new password of a proxy is no change', file: 'src/daemon/reload.ts',
    find: 'value instanceof SecretUrl ? value.reveal()', replace: 'value instanceof SecretUrl ? value.shown',
    test: { file: config, named: 'S92 is a change by itself' },
  },
  {
    row: 'S92', title: 'a fault quotes URLs whole', file: 'src/base/fault.ts',
    find: 'message: printable(withoutCredentials(message)),', replace: 'message: printable(message),',
    test: { file: shown, named: 'S92 get https://user:canary@host' },
  },
  {
    row: 'S92', title: 'the query of a URL is shown', file: 'src/base/shown-text.ts',
    find: ".replaceAll(QUERY, '$1?***')", replace: '',
    test: { file: shown, named: 'S92 went to https://store/blob' },
  },
  {
    row: 'S92', title: 'the log quotes URLs whole', file: 'src/daemon/safe-lines.ts',
    find: 'escapedLines(withoutCredentials(line))', replace: 'escapedLines(line)',
    test: { file: lines, named: 'S92 has no credentials' },
  },
  {
    row: 'S93', title: 'a line reaches the terminal as it is', file: 'src/daemon/cli/screen.ts',
    find: 'let line = escaped(text);', replace: 'let line = text;',
    test: { file: screen, named: 'S93 escapes what steers' },
  },
  {
    row: 'S93', title: 'JSON is written with C1 and bidi characters', file: 'src/daemon/cli/screen.ts',
    find: '${escapedLines(text)}', replace: '${text}',
    test: { file: screen, named: 'S93 escapes what steers' },
  },
  {
    row: 'S93', title: 'notes reach the terminal as they are', file: 'src/daemon/cli/screen.ts',
    find: 'void stderr.write(`${escaped(text)}', replace: 'void stderr.write(`${text}',
    test: { file: screen, named: 'S93 escapes what steers' },
  },
  {
    row: 'S93', title: 'a fault may turn its text around', file: 'src/base/fault.ts',
    find: 'withoutUnsafe(text.toWellFormed())', replace: 'text.toWellFormed()',
    test: { file: shown, named: 'S93 keeps no character' },
  },
  {
    row: 'S93', title: 'the log is written with C1 and bidi characters', file: 'src/daemon/safe-lines.ts',
    find: 'escapedLines(withoutCredentials(line))', replace: 'withoutCredentials(line)',
    test: { file: lines, named: 'S93 has no character' },
  },
  {
    row: 'S91', title: 'a damaged file that can not be masked keeps its secrets', file: 'src/journal/damaged.ts',
    find: 'await syncedAt(disk, name, 0);', replace: '',
    test: { file: journal, named: 'S91 is emptied where it' },
  },
  {
    row: 'S91', title: 'a damaged file that can not be written stops the start', file: 'src/journal/damaged.ts',
    find: "log.warn({ name, reason: toFault(thrown).message }, 'journal: secrets could not", replace: "if (thrown !== undefined) throw thrown;\n      log.warn({ name, reason: toFault(thrown).message }, 'journal: secrets could not",
    test: { file: journal, named: 'S91 stops no start' },
  },
  {
    row: 'S91', title: 'what was masked comes back after a power loss', file: 'src/journal/damaged.ts',
    find: 'await syncedAt(disk, name, bytes.length);', replace: '',
    test: { file: journal, named: 'S91 an earlier start kept' },
  },
];
