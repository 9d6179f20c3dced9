import { describe, expect, it } from 'vitest';
import { asksForDaemon } from '../../../../src/daemon/commands/global-options.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';

describe('the command line', () => {
  it('takes options in both forms, before and after the command', () => {
    const line = {
      command: 'why',
      options: { state: '/run/t', introspection: '/i.sock' },
      flags: new Set(['json']),
      words: ['web/app'],
    };
    for (const argv of [
      ['why', '--state', '/run/t', 'web/app', '--introspection=/i.sock', '--json'],
      ['--state', '/run/t', '--introspection=/i.sock', '--json', 'why', 'web/app'],
      ['--json', '--state', '/run/t', 'why', '--introspection', '/i.sock', 'web/app'],
    ])
      expect(parseCommandLine(argv)).toEqual(line);
    expect(parseCommandLine(['serve', '--root=/a=b'])).toMatchObject({
      command: 'serve',
      options: { root: '/a=b' },
    });
  });

  it.each([
    [['serve', '--nonsense'], true],
    [['--config', 'ps', 'start'], true],
    [['--config=/x', 'serve'], true],
    [['--json', 'serve'], true],
    [['--config', 'serve'], false],
    [['ps', 'serve'], false],
    [['--toString', 'ps'], false],
    [[], false],
  ])('%j starts the daemon: %s', (argv, isDaemon) => expect(asksForDaemon(argv)).toBe(isDaemon));

  it('takes the command line of another program behind the first word, by the description of exec and run', () => {
    expect(
      parseCommandLine(['--state', '/s', 'run', '-it', '-e', 'A=1', '--env=B=2', 'img', 'ls', '--help']),
    ).toEqual({
      command: 'run',
      options: { state: '/s' },
      flags: new Set(['stdin', 'tty']),
      words: ['img', 'ls', '--help'],
      lists: { env: ['A=1', 'B=2'] },
    });
    expect(parseCommandLine(['run', '-d', '--', 'img', '-x']).words).toEqual(['img', '-x']);
    expect(parseCommandLine(['exec', 'web', '--', 'ls', '--', '-l']).words).toEqual([
      'web',
      'ls',
      '--',
      '-l',
    ]);
    expect(parseCommandLine(['exec', '-h', 'web'])).toMatchObject({ command: 'help', words: ['exec'] });
  });

  it.each([
    [['exec', 'web'], 'troupe exec: expected a program: troupe exec WHAT -- CMD; see troupe help exec'],
    [['exec', '--json', 'web', 'ls'], 'troupe exec: no such option --json; see troupe help exec'],
    [['run', '-ie', 'A=1', 'img'], 'troupe run: no such option -ie; see troupe help run'],
    [['run', '--rm=1', 'img'], 'troupe run: no such option --rm=1; see troupe help run'],
    [['run', '--name'], 'troupe run: --name needs a value; see troupe help run'],
    [['run'], 'troupe run: expected one image; see troupe help run'],
  ])('%j is refused: %s', (argv, message) => {
    expect(() => parseCommandLine(argv)).toThrow(message);
  });

  it('takes a word, or none, where a flag asks for it', () => {
    expect(parseCommandLine(['config', '--check', 'f.toml']).words).toEqual(['f.toml']);
    expect(parseCommandLine(['config', '--check']).words).toEqual([]);
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
    [[], 'help', []],
    [['help'], 'help', []],
    [['--help'], 'help', []],
    [['-h'], 'help', []],
    [['ps', '--help'], 'help', ['ps']],
    [['why', '-h'], 'help', ['why']],
    [['help', 'why'], 'help', ['why']],
    [['--state', '/x', 'ps', '--nonsense', '--help'], 'help', ['ps']],
    [['log', '--help'], 'help', ['history']],
    [['--version'], 'version', []],
    [['log', 'web'], 'history', ['web']],
  ])('%j is %s of %j', (argv, command, words) =>
    expect(parseCommandLine(argv)).toMatchObject({ command, words }),
  );

  it.each([
    [['nonsense'], 'troupe nonsense: no such command; see troupe help'],
    [['nonsense', '--help'], 'troupe nonsense: no such command; see troupe help'],
    [['sttaus'], 'troupe sttaus: no such command (did you mean status?); see troupe help'],
    [['help', 'wath'], 'troupe wath: no such command (did you mean watch?); see troupe help'],
    [['toString'], 'troupe toString: no such command; see troupe help'],
    [['--config', 'serve'], 'troupe: expected a command; see troupe help'],
    [['ps', '--nonsense'], 'troupe ps: no such option --nonsense; see troupe help ps'],
    [['ps', '--jsno'], 'troupe ps: no such option --jsno (did you mean --json?); see troupe help ps'],
    [['ps', '--json=yes'], 'troupe ps: no such option --json=yes (did you mean --json?); see troupe help ps'],
    [['ps', '-x'], 'troupe ps: no such option -x; see troupe help ps'],
    [['ps', '--state'], 'troupe ps: --state needs a value; see troupe help ps'],
    [['ps', 'web'], 'troupe ps: unexpected argument web; see troupe help ps'],
    [['config', 'f'], 'troupe config: unexpected argument f; see troupe help config'],
    [['config', '--check', 'f', 'g'], 'troupe config: expected one file; see troupe help config'],
    [['why'], 'troupe why: expected one pod, container or id; see troupe help why'],
    [['log', 'a', 'b'], 'troupe history: expected one pod, container or id; see troupe help history'],
    [['import'], 'troupe import: expected one source; see troupe help import'],
    [['export', 'a'], 'troupe export: expected one image and one target; see troupe help export'],
    [['export', 'a', 'b', 'c'], 'troupe export: expected one image and one target; see troupe help export'],
    [['serve', '--json'], 'troupe serve: no such option --json; see troupe help serve'],
    [['ps', '--repair'], 'troupe ps: no such option --repair; see troupe help ps'],
    [['wipe', '--introspection', '/x'], 'troupe wipe: no such option --introspection; see troupe help wipe'],
    [['--introspection', '/x', 'wipe'], 'troupe wipe: no such option --introspection; see troupe help wipe'],
  ])('%j is refused', (argv, message) =>
    expect(() => parseCommandLine(argv)).toThrow(new RegExp(`^${RegExp.escape(message)}$`, 'u')),
  );
});
