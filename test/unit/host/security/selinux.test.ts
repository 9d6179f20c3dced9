import { execFileSync } from 'node:child_process';
import { Dir, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { libc } from '../../../../src/host/ffi/ffi.ts';
import { getXattrAt } from '../../../../src/host/files/files-at.ts';
import { AT_FDCWD } from '../../../../src/host/ffi/constants.ts';
import {
  isSystemPath,
  parseContexts,
  privilegedOf,
  relabel,
  selinuxIsEnabled,
  USUAL_LABELS,
} from '../../../../src/host/security/selinux.ts';
import { unless } from '../../../support/skips/unless.ts';

describe('labels of the policy', () => {
  test('come from lxc_contexts, or are the usual ones', () => {
    const text =
      '# a comment\nprocess = "system_u:system_r:container_t:s0"\ncontent = "system_u:object_r:virt_var_lib_t:s0"\nfile = "system_u:object_r:svirt_file_t:s0"\n';
    expect(parseContexts(text)).toEqual({
      process: 'system_u:system_r:container_t:s0',
      mount: 'system_u:object_r:svirt_file_t:s0',
    });
    expect(parseContexts('process=system_u:system_r:own_t:s0\n')).toEqual({
      process: 'system_u:system_r:own_t:s0',
      mount: USUAL_LABELS.mount,
    });
    expect(parseContexts('')).toEqual(USUAL_LABELS);
  });
});

describe('the label of privileged containers', () => {
  test('is spc_t with user, role and sensitivity of the others', () => {
    expect(privilegedOf(USUAL_LABELS.process)).toBe('system_u:system_r:spc_t:s0');
    expect(privilegedOf('u:r:t:s0:c1,c2')).toBe('u:r:spc_t:s0');
  });
});

describe('paths of the host', () => {
  const system = [
    '/',
    '/etc',
    '/etc/',
    '/etc/passwd',
    '/etc/shadow',
    '/etc/gshadow',
    '/etc/sudoers',
    '/etc/pki',
    '/etc/pki/tls/private',
    '/etc/ssh/ssh_host_rsa_key',
    '/usr',
    '/usr/',
    '/usr/share/x',
    '/bin/sh',
    '/lib64',
    '/boot/vmlinuz',
    '/dev/sda',
    '/proc/1',
    '/sys',
    '/home',
    '/home/anna',
    '/root',
    '/root/',
    '/opt',
    '/srv',
    '/run',
    '/tmp',
    '/var',
    '/var/lib',
    '/var/log',
    '/var/lib/kubelet',
    '/media',
    '/mnt',
    '//usr//bin',
    '/etc/./passwd',
  ];
  test.each(system)('S96: %s is not labelled for a container', (path) => {
    expect(isSystemPath(path)).toBe(true);
  });

  test.each([
    '/srv/data',
    '/home/anna/data',
    '/opt/app',
    '/etc/app',
    '/var/lib/kubelet/pods/u/volumes/x',
    '/usrx',
    '/etc/passwd.d',
    '/mnt/disk',
    '/tmp/x',
    '/bootstrap',
  ])('S96: %s may be labelled', (path) => {
    expect(isSystemPath(path)).toBe(false);
  });
});

// the attribute can be set by root where no policy is loaded; with one, only labels that it has
const reason =
  process.getuid?.() !== 0 ? 'needs root' : (await selinuxIsEnabled()) ? 'a policy is loaded' : undefined;
if (reason !== undefined) process.stdout.write(`skipped, labels of files: ${reason}\n`);

unless(describe, reason)('relabelling', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'troupe-labels-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const labelOf = (path: string): string | undefined => {
    const value = getXattrAt(AT_FDCWD, path, 'security.selinux');
    return value === undefined ? undefined : Buffer.from(value).toString();
  };
  const LABEL = 'system_u:object_r:container_file_t:s0:c1,c2';

  test('S33 S54 a volume is labelled with its content; links themselves, not their targets', async () => {
    const [volume, outside] = [join(dir, 'volume'), join(dir, 'outside')];
    mkdirSync(join(volume, 'a/b'), { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), '');
    writeFileSync(join(volume, 'a/b/file'), '');
    writeFileSync(join(volume, '-r name\n'), '');
    execFileSync('mkfifo', [join(volume, 'fifo')]);
    symlinkSync(outside, join(volume, 'out'));
    symlinkSync('/etc/passwd', join(volume, 'a/passwd'));
    // names are bytes: this one is no text
    const odd = Buffer.concat([Buffer.from(join(volume, 'a/')), Buffer.from([0xff, 0xfe])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from('/file')]), '');
    await relabel(volume, LABEL, new AbortController().signal, '/');
    for (const path of [odd, Buffer.concat([odd, Buffer.from('/file')])]) {
      const value = getXattrAt(AT_FDCWD, path, 'security.selinux');
      expect(value === undefined ? undefined : Buffer.from(value).toString(), path.toString()).toBe(
        `${LABEL}\0`,
      );
    }
    for (const path of ['', 'a', 'a/b', 'a/b/file', '-r name\n', 'fifo', 'out', 'a/passwd'])
      expect(labelOf(join(volume, path)), path).toBe(`${LABEL}\0`);
    for (const path of [outside, join(outside, 'secret'), dir, '/etc/passwd'])
      expect(labelOf(path), path).toBeUndefined();
  });

  test('S78 S33: a directory of a volume is read in batches, however many entries it has', async () => {
    const directory = join(dir, 'many');
    mkdirSync(directory);
    for (let at = 0; at < 3 * hostLimits.labelledAtOnce; at += 1)
      writeFileSync(join(directory, String(at)), '');
    const reads = vi.spyOn(Dir.prototype, 'read');
    await relabel(directory, LABEL, new AbortController().signal, '/');
    // each entry, and the end
    expect(reads).toHaveBeenCalledTimes(3 * hostLimits.labelledAtOnce + 1);
    reads.mockRestore();
    expect(labelOf(join(directory, String(3 * hostLimits.labelledAtOnce - 1)))).toBe(`${LABEL}\0`);
  });

  test('S33 S54: a single file is labelled; a link as the volume itself is not followed', async () => {
    const [file, link, directory, other] = [
      join(dir, 'file'),
      join(dir, 'link'),
      join(dir, 'directory'),
      join(dir, 'other'),
    ];
    writeFileSync(file, '');
    symlinkSync(file, link);
    mkdirSync(directory);
    symlinkSync(directory, other);
    for (const path of [link, other]) await relabel(path, 'a:b:c:s0', new AbortController().signal, '/');
    expect([labelOf(link), labelOf(file)]).toEqual(['a:b:c:s0\0', undefined]);
    expect([labelOf(other), labelOf(directory)]).toEqual(['a:b:c:s0\0', undefined]);
    await relabel(file, LABEL, new AbortController().signal, '/');
    expect(labelOf(file)).toBe(`${LABEL}\0`);
  });

  test('S54 an error shows a name of a volume without its control characters, and without the NUL that ends it', async () => {
    const file = join(dir, 'a\u001b[31m\nb');
    writeFileSync(file, '');
    // longer than any attribute (E2BIG)
    const subject = `${dir}/a [31m b`;
    await expect(relabel(file, 'x'.repeat(70_000), new AbortController().signal, '/')).rejects.toMatchObject({
      fault: { subject },
    });
    const real = libc.openat;
    const failing: typeof real = Object.assign((...args: Parameters<typeof real>) => real(...args), {
      info: real.info,
      // the volume itself opens; an invalid descriptor is EBADF
      async: ((parent, ...rest) =>
        real.async(parent === AT_FDCWD ? parent : -1, ...rest)) as typeof real.async,
    });
    mkdirSync(join(dir, 'volume/c\u0007d'), { recursive: true });
    Object.assign(libc, { openat: failing });
    try {
      const failed = expect(relabel(join(dir, 'volume'), LABEL, new AbortController().signal, '/')).rejects;
      await failed.toMatchObject({
        fault: { subject: 'c d', message: 'open directory c d: EBADF: bad file descriptor' },
      });
    } finally {
      Object.assign(libc, { openat: real });
    }
  });

  test('S90 F45 volumes on a hanging mount hold no more threads than its share, and others are labelled', async () => {
    const [volume, dead] = [join(dir, 'volume'), join(dir, 'dead')];
    mkdirSync(volume);
    const real = libc.openat;
    const stuck: (() => void)[] = [];
    let answers = false;
    const hanging: typeof real = Object.assign((...args: Parameters<typeof real>) => real(...args), {
      info: real.info,
      async: ((...args) => {
        const call = (): void => real.async(...args);
        if (!answers && String(args[1]).startsWith(dead)) stuck.push(call);
        else call();
      }) as typeof real.async,
    });
    Object.assign(libc, { openat: hanging });
    const gone = new AbortController();
    const hung = Array.from({ length: hostLimits.poolCalls }, (_none, at) =>
      relabel(join(dead, String(at)), LABEL, gone.signal, '/dead'),
    );
    const ended = Promise.allSettled(hung);
    try {
      await relabel(volume, LABEL, new AbortController().signal, '/');
      expect([labelOf(volume), stuck.length]).toEqual([`${LABEL}\0`, hostLimits.poolCallsPerKey]);
    } finally {
      Object.assign(libc, { openat: real });
      answers = true;
      for (const call of stuck) call();
      await ended;
    }
  });

  test.each([
    '/',
    '/etc',
    '/etc/shadow',
    '/etc/pki',
    '/home/anna',
    '/usr',
    '/usr/bin',
    '/boot',
    '/var/lib',
    '/tmp',
  ])('S96 S33: %s is the host’s own', async (path) => {
    // aborted from the start, so that the machine is safe from this test whatever becomes of the guard
    await expect(relabel(path, LABEL, AbortSignal.abort(), '/')).rejects.toMatchObject({
      fault: { kind: 'invalidRequest', subject: 'mounts.selinux_relabel' },
    });
  });

  test('ends early on abort', async () => {
    writeFileSync(join(dir, 'file'), '');
    await expect(relabel(dir, LABEL, AbortSignal.abort(), '/')).rejects.toThrow();
    expect(labelOf(join(dir, 'file'))).toBeUndefined();
  });
});
