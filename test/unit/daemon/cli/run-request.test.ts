// `troupe run`: from its command line to the pod and the container.
import { describe, expect, it } from 'vitest';
import { containerRequest, podRequest, readRunOptions } from '../../../../src/daemon/cli/run-request.ts';
import { startFailure } from '../../../../src/daemon/cli/exec.ts';
import { EXIT } from '../../../../src/daemon/cli/exit-codes.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';

const requested = (...args: readonly string[]) =>
  readRunOptions(parseCommandLine(['run', ...args]), 'abcdef');

describe('troupe run', () => {
  it('takes options before the image, and everything behind it as the program’s', () => {
    expect(
      requested(
        '-it',
        '--env',
        'A=1=2',
        '-e',
        'B=',
        '--volume',
        '/h:/c:ro',
        '--name=x',
        'busybox',
        'ls',
        '-la',
        '--help',
      ),
    ).toEqual({
      image: 'busybox',
      args: ['ls', '-la', '--help'],
      name: 'x',
      isHostNetwork: false,
      env: [
        ['A', '1=2'],
        ['B', ''],
      ],
      volumes: [{ hostPath: '/h', containerPath: '/c', readonly: true }],
      stdin: true,
      tty: true,
      keep: false,
      detach: false,
    });
    expect(requested('busybox', '--', '-x').args).toEqual(['-x']);
  });

  it('names the pod after the image, as a DNS label', () => {
    expect(requested('docker.io/library/busybox:1.36').name).toBe('busybox-abcdef');
    expect(requested(`registry:5000/Some_Thing@sha256:${'0'.repeat(64)}`).name).toBe('some-thing-abcdef');
    expect(requested('x'.repeat(200)).name.length).toBeLessThan(64);
  });

  it.each([
    [['--network', 'none', 'i'], '--network none'],
    [['--env', 'A', 'i'], '--env A'],
    [['--volume', 'data:/c', 'i'], '--volume data:/c'],
    [['--volume', '/h:/c:z', 'i'], '--volume /h:/c:z'],
    [['--volume', '/h:/c:ro:x', 'i'], '--volume /h:/c:ro:x'],
    [['--rm', '--keep', 'i'], '--rm and --keep'],
    [['--detach', '-i', 'i'], '--detach excludes'],
    [[], 'expected one image'],
    [['--privileged', 'i'], '--privileged'],
    [['-x', 'i'], '-x'],
    [['--env'], '--env'],
  ])('refuses %j', (args, named) => {
    expect(() => requested(...args)).toThrow(named);
  });

  it('asks for no privileges: RuntimeDefault, the masked paths, namespaces of its own', () => {
    const asked = requested('--network', 'host', 'busybox', 'true');
    const security = containerRequest(asked, 'uid', 'sha256:1').linux?.securityContext;
    expect(security).toMatchObject({ seccomp: { profileType: 0 }, namespaceOptions: { network: 2, pid: 1 } });
    expect(security?.maskedPaths).toContain('/proc/kcore');
    expect(security?.readonlyPaths).toContain('/proc/sys');
    expect(security?.privileged).toBeUndefined();
    expect(podRequest(asked, 'uid')).toMatchObject({
      metadata: { name: asked.name, namespace: 'default', uid: 'uid' },
      hostname: '',
      labels: { 'app.kubernetes.io/managed-by': 'troupe-run' },
    });
  });
});

describe('troupe exec', () => {
  it('takes its options before the container, and a dash or two before the program', () => {
    expect(parseCommandLine(['exec', '-i', '-t', 'web', '--', 'sh', '-c', 'x'])).toMatchObject({
      command: 'exec',
      words: ['web', 'sh', '-c', 'x'],
    });
    expect([...parseCommandLine(['exec', '-it', 'web', 'ls', '-i']).flags]).toEqual(['stdin', 'tty']);
    expect(parseCommandLine(['exec', 'web', '--', '--help']).words).toEqual(['web', '--help']);
    expect(parseCommandLine(['exec', '--help']).command).toBe('help');
    expect(() => parseCommandLine(['exec', 'web'])).toThrow(/expected a program/u);
    expect(() => parseCommandLine(['exec', '-itx', 'web', 'ls'])).toThrow(/no such option -itx/u);
  });

  it('has the usual codes for a program that can’t be started', () => {
    for (const [message, code] of [
      ['exec: "nope": executable file not found in $PATH: unknown', EXIT.programNotFound],
      ['executable file `nope` not found in $PATH: No such file or directory', EXIT.programNotFound],
      ['exec: "/etc/passwd": permission denied', EXIT.notExecutable],
      ['anything else', EXIT.programFailed],
    ] as const)
      expect(startFailure(message)).toBe(code);
  });
});
