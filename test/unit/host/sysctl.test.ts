import { expect, test } from 'vitest';
import { sysctlNamespace, sysctlPath } from '../../../src/host/sysctl.ts';

test('the first separator decides what dots and slashes mean', () => {
  expect(sysctlPath('net.ipv4.ip_forward')).toBe('net/ipv4/ip_forward');
  expect(sysctlPath('net/ipv4/ip_forward')).toBe('net/ipv4/ip_forward');
  expect(sysctlPath('net.ipv4.conf.eth0/1.forwarding')).toBe('net/ipv4/conf/eth0.1/forwarding');
  expect(sysctlPath('net/ipv4/conf/eth0.1/forwarding')).toBe('net/ipv4/conf/eth0.1/forwarding');
});

test('a name that leaves /proc/sys or is no path is refused', () => {
  const bad = ['', 'net', '.', '..', 'net/../../kernel/core_pattern', 'net.//.//.kernel', '/etc/passwd', 'net..x', 'net.a b', 'net.a\n', 'net/./x'];
  for (const name of bad) expect(() => sysctlPath(name), name).toThrow(/not a name/u);
});

test('each parameter is known by its namespace, those of the machine by none', () => {
  const known = { 'net.core.somaxconn': 'net', 'kernel.shmmax': 'ipc', 'kernel.shm_rmid_forced': 'ipc', 'kernel.sem': 'ipc', 'kernel.msgmnb': 'ipc', 'fs.mqueue.msg_max': 'ipc', 'kernel.domainname': 'uts' };
  for (const [name, namespace] of Object.entries(known)) expect(sysctlNamespace(name)).toBe(namespace);
  for (const name of ['kernel.core_pattern', 'vm.swappiness', 'fs.file-max', 'kernel.panic']) {
    expect(sysctlNamespace(name)).toBeUndefined();
  }
});
