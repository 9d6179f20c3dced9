import { describe, expect, it } from 'vitest';
import { parseCommandLine, USAGE } from '../../../../src/daemon/config/command-line.ts';

describe('the command line', () => {
  it('takes options before and after the command, in both forms', () => {
    const line = parseCommandLine([
      'why',
      '--state',
      '/run/t',
      'web/app',
      '--introspection=/i.sock',
      '--json',
    ]);
    expect(line).toEqual({
      command: 'why',
      options: { state: '/run/t', introspection: '/i.sock' },
      flags: new Set(['json']),
      words: ['web/app'],
    });
    expect(parseCommandLine(['serve', '--root=/a=b'])).toMatchObject({
      command: 'serve',
      options: { root: '/a=b' },
    });
  });

  it('takes two words where two are wanted', () => {
    expect(parseCommandLine(['export', 'busybox', 'oci:/tmp/x', '--json'])).toMatchObject({
      command: 'export',
      words: ['busybox', 'oci:/tmp/x'],
    });
    expect(parseCommandLine(['import', '/tmp/x.tar', '--name', 'a/b:1'])).toMatchObject({
      words: ['/tmp/x.tar'],
      options: { name: 'a/b:1' },
    });
  });

  it.each([
    [[], 'help'],
    [['help'], 'help'],
    [['--help'], 'help'],
    [['-h'], 'help'],
    [['ps', '--help'], 'help'],
    [['why', '-h'], 'help'],
    [['--version'], 'version'],
  ])('%j is %s', (argv, command) => expect(parseCommandLine(argv).command).toBe(command));

  it.each([
    [['nonsense'], 'troupe nonsense: no such command; see troupe help'],
    [['ps', '--nonsense'], 'troupe ps: no such option --nonsense; see troupe help'],
    [['ps', '--json=yes'], 'troupe ps: no such option --json=yes; see troupe help'],
    [['ps', '-x'], 'troupe ps: no such option -x; see troupe help'],
    [['ps', '--state'], 'troupe ps: --state needs a value; see troupe help'],
    [['ps', 'web'], 'troupe ps: unexpected argument web; see troupe help'],
    [['why'], 'troupe why: expected one pod, container or id; see troupe help'],
    [['log', 'a', 'b'], 'troupe log: expected one pod, container or id; see troupe help'],
    [['import'], 'troupe import: expected one source; see troupe help'],
    [['export', 'a'], 'troupe export: expected one image and one target; see troupe help'],
    [['export', 'a', 'b', 'c'], 'troupe export: expected one image and one target; see troupe help'],
    [['serve', '--json'], 'troupe serve: no such option --json; see troupe help'],
    [['ps', '--repair'], 'troupe ps: no such option --repair; see troupe help'],
    [['wipe', '--introspection', '/x'], 'troupe wipe: no such option --introspection; see troupe help'],
    [['toString'], 'troupe toString: no such command; see troupe help'],
  ])('%j is refused', (argv, message) => expect(() => parseCommandLine(argv)).toThrow(message));

  it('the usage fits 120 columns and names every command and option', () => {
    for (const line of USAGE.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
    for (const word of [
      'serve',
      'start',
      'ps',
      'why',
      'log',
      'watch',
      'status',
      'config',
      'check',
      'wipe',
      'version',
      'images',
      'gc',
      'pull',
      'inspect',
      'import',
      'export',
      '--name',
      '--layers',
      '--dry-run',
      '--repair',
      '--force',
      '--now',
      '--after',
      '--default',
      '--json',
    ]) {
      expect(USAGE).toMatch(new RegExp(`(?:^|\\s)${word}\\b`, 'mu'));
    }
  });
});
