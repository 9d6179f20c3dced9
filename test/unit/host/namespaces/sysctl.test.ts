import { expect, test } from 'vitest';
import {
  inOrderOfEffect,
  sysctlInterface,
  sysctlNamespace,
  sysctlPath,
} from '../../../../src/host/namespaces/sysctl.ts';

test('the first separator decides what dots and slashes mean', () => {
  expect(sysctlPath('net.ipv4.ip_forward')).toBe('net/ipv4/ip_forward');
  expect(sysctlPath('net/ipv4/ip_forward')).toBe('net/ipv4/ip_forward');
  expect(sysctlPath('net.ipv4.conf.eth0/1.forwarding')).toBe('net/ipv4/conf/eth0.1/forwarding');
  expect(sysctlPath('net/ipv4/conf/eth0.1/forwarding')).toBe('net/ipv4/conf/eth0.1/forwarding');
});

test('a name that leaves /proc/sys or is not a path is refused', () => {
  const bad = [
    '',
    'net',
    '.',
    '..',
    'net/../../kernel/core_pattern',
    'net.//.//.kernel',
    '/etc/passwd',
    'net..x',
    'net.a b',
    'net.a\n',
    'net/./x',
  ];
  for (const name of bad) expect(() => sysctlPath(name), name).toThrow(/invalid name/u);
});

test('each parameter is assigned to its namespace, those of the machine to none', () => {
  const known = {
    'net.core.somaxconn': 'net',
    'kernel.shmmax': 'ipc',
    'kernel.shm_rmid_forced': 'ipc',
    'kernel.sem': 'ipc',
    'kernel.msgmnb': 'ipc',
    'fs.mqueue.msg_max': 'ipc',
    'kernel.domainname': 'uts',
  };
  for (const [name, namespace] of Object.entries(known)) expect(sysctlNamespace(name)).toBe(namespace);
  for (const name of ['kernel.core_pattern', 'vm.swappiness', 'fs.file-max', 'kernel.panic']) {
    expect(sysctlNamespace(name)).toBeUndefined();
  }
});

test('a parameter of a plugin’s interface is distinguished from existing ones', () => {
  const of = {
    'net.ipv4.conf.eth0.arp_ignore': 'eth0',
    'net.ipv6.conf.net1.accept_ra': 'net1',
    'net.ipv4.conf.eth0/1.forwarding': 'eth0.1',
    'net.ipv4.neigh.eth0.gc_stale_time': 'eth0',
  };
  for (const [name, device] of Object.entries(of)) expect(sysctlInterface(name), name).toBe(device);
  const others = [
    'net.ipv4.conf.all.rp_filter',
    'net.ipv6.conf.default.disable_ipv6',
    'net.ipv4.conf.lo.forwarding',
    'net.ipv4.ip_forward',
    'net.ipv4.conf',
    'kernel.shmmax',
  ];
  for (const name of others) expect(sysctlInterface(name), name).toBeUndefined();
});

test('a parameter that resets others comes first', () => {
  const names = [
    'net.ipv4.conf.all.accept_redirects',
    'net.ipv4.ip_forward',
    'net.ipv6.conf.all.forwarding',
    'net.ipv6.conf.default.accept_ra',
  ];
  const ordered = inOrderOfEffect(names.map((name) => ({ name, value: '1' }))).map(({ name }) => name);
  expect(ordered).toEqual([
    'net.ipv4.ip_forward',
    'net.ipv6.conf.all.forwarding',
    'net.ipv4.conf.all.accept_redirects',
    'net.ipv6.conf.default.accept_ra',
  ]);
});
