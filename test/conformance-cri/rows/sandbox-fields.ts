// PodSandboxConfig: what a field does, seen from a container of the pod and in the pod's status.
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { holds, matches, same } from '../expect.ts';
import { cgroupOf, namespaceOf, removeCgroup } from '../host.ts';
import { type Group, row } from '../row.ts';
import { type Pod, type SandboxConfig, sandboxLinux } from '../stage.ts';
import type { Trial } from '../trial.ts';

const options = { pid: 1, network: 0 } as const;
const networked: SandboxConfig = { linux: sandboxLinux(options) };

async function statusOf({ runtime }: Trial, podSandboxId: string) {
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  if (status === undefined) throw new Error('PodSandboxStatus without a status');
  return status;
}

const listItem = async ({ runtime }: Trial, id: string) =>
  (await runtime.listPodSandbox({ filter: { id } })).items[0];

async function network(t: Trial): Promise<Pod> {
  return await t.stage.shared('network');
}

/** Of one container's first process. */
async function namespacesIn(t: Trial, kinds: readonly string[], pod: Pod): Promise<string[]> {
  const pid = await t.pid(await t.start({}, pod));
  return kinds.map((kind) => namespaceOf(pid, kind));
}

/** Keys and values that careless maps and writers lose. */
const odd = (): Record<string, string> =>
  Object.fromEntries([
    ['a/b.c', ''],
    ['x', 'ä\n\t"\\'],
    ['__proto__', 'p'],
    ['constructor', 'c'],
    ['e', '🙂'],
  ]);
/** Own keys only, whatever made the object. */
const plain = (map: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(map));

export const sandboxFields: Group = {
  title: 'PodSandboxConfig: fields in force',
  perHandler: true,
  rows: [
    row('labels', 'come back byte for byte in status and list, none added', async (t) => {
      const labels = odd();
      const { id } = await t.pod({ labels });
      same(plain((await statusOf(t, id)).labels), plain(labels));
      same(plain((await listItem(t, id))?.labels ?? {}), plain(labels));
    }),
    row('annotations', 'come back byte for byte in status and list, none added', async (t) => {
      const annotations = odd();
      const { id } = await t.pod({ annotations });
      same(plain((await statusOf(t, id)).annotations), plain(annotations));
      same(plain((await listItem(t, id))?.annotations ?? {}), plain(annotations));
    }),
    row('annotations', '200 KiB of them come back', async (t) => {
      const big = 'x'.repeat(200 * 1024);
      const { id } = await t.pod({ annotations: { big } });
      same((await statusOf(t, id)).annotations['big']?.length, big.length);
    }),
    row('metadata', 'comes back in status and list', async (t) => {
      const { id, config } = await t.pod();
      const { name, namespace, uid, attempt } = (await statusOf(t, id)).metadata ?? {};
      same({ name, namespace, uid, attempt }, config.metadata);
      same((await listItem(t, id))?.metadata?.name, name);
    }),
    row('created_at', 'is now in nanoseconds, and the same in list and status', async (t) => {
      const before = BigInt(Date.now()) * 1_000_000n;
      const { id } = await t.pod();
      const { createdAt } = await statusOf(t, id);
      holds(
        createdAt >= before - 1_000_000_000n && createdAt <= BigInt(Date.now() + 1000) * 1_000_000n,
        `${createdAt} is not now`,
      );
      same((await listItem(t, id))?.createdAt, createdAt);
    }),
    row('runtime_handler', 'is echoed in status and list', async (t) => {
      const { id } = await t.plain();
      same((await statusOf(t, id)).runtimeHandler, t.stage.handler);
      same((await listItem(t, id))?.runtimeHandler, t.stage.handler);
    }),
    row('PodSandboxStatus.info', 'only when verbose is asked for', async (t) => {
      const { runtime } = t;
      const { id: podSandboxId } = await t.plain();
      same(Object.keys((await runtime.podSandboxStatus({ podSandboxId })).info), []);
      JSON.parse((await runtime.podSandboxStatus({ podSandboxId, verbose: true })).info['info'] ?? 'missing');
    }),
    row(
      'PodSandboxStatus.info',
      "runtimeSpec.linux.namespaces has the path of the pod's network namespace",
      async (t) => {
        const pod = await network(t);
        const { info } = await t.runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
        const { runtimeSpec } = JSON.parse(info['info'] ?? '') as {
          runtimeSpec: { linux: { namespaces: { type: string; path?: string }[] } };
        };
        const path = runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')?.path ?? 'none';
        const [own] = await namespacesIn(t, ['net'], pod);
        same(`net:[${statSync(path).ino}]`, own);
      },
    ),
    row('namespace_options', 'are echoed in status', async (t) => {
      const {
        network: net,
        pid,
        ipc,
      } = (await statusOf(t, (await t.stage.shared('sharedpid')).id)).linux?.namespaces?.options ?? {};
      same({ net, pid, ipc }, { net: 2, pid: 0, ipc: 0 });
    }),
    row('network.ip', 'an address for a pod with a network of its own', async (t) =>
      matches((await statusOf(t, (await network(t)).id)).network?.ip ?? '', /^[0-9a-f.:]+$/u),
    ),
    row('network.ip', 'is the one that containers see on eth0', async (t) => {
      const pod = await network(t);
      const ip = (await statusOf(t, pod.id)).network?.ip ?? 'none';
      matches(
        await t.output('ip addr show eth0', {}, pod),
        new RegExp(`inet6? ${ip.replaceAll('.', '\\.')}/`, 'u'),
      );
    }),
    row('network.ip', 'empty on the host network', async (t) =>
      same((await statusOf(t, (await t.plain()).id)).network?.ip ?? '', ''),
    ),
    row('network', 'lo is up in a network of its own', async (t) =>
      matches(await t.output('ip addr show lo', {}, await network(t)), /inet 127\.0\.0\.1\/8/u),
    ),
    row(
      'network POD',
      "containers of a pod share one network namespace, which is not the host's",
      async (t) => {
        const pod = await network(t);
        const [[one], [two]] = await Promise.all([
          namespacesIn(t, ['net'], pod),
          namespacesIn(t, ['net'], pod),
        ]);
        same(one, two);
        holds(one !== namespaceOf('self', 'net'), "the host's");
      },
    ),
    row('network NODE', "is the host's network namespace", async (t) =>
      same(await namespacesIn(t, ['net'], await t.plain()), [namespaceOf('self', 'net')]),
    ),
    row('network NODE', "the host's interfaces are in /sys/class/net", async (t) => {
      const names = readFileSync('/proc/net/dev', 'utf8')
        .split('\n')
        .slice(2)
        .map((line) => line.split(':')[0]?.trim() ?? '')
        .filter((name) => name === 'lo' || name.startsWith('eth'));
      const seen = (await t.output('ls /sys/class/net')).split('\n');
      same(
        names.filter((name) => !seen.includes(name)),
        [],
      );
    }),
    row('ipc POD', "containers of a pod share one IPC namespace, which is not the host's", async (t) => {
      const pod = await t.plain();
      const [[one], [two]] = await Promise.all([
        namespacesIn(t, ['ipc'], pod),
        namespacesIn(t, ['ipc'], pod),
      ]);
      same(one, two);
      holds(one !== namespaceOf('self', 'ipc'), "the host's");
    }),
    row('ipc POD', '/dev/shm is shared by the containers of the pod', async (t) => {
      await t.output('echo word > /dev/shm/row-shm');
      same(await t.output('cat /dev/shm/row-shm; rm /dev/shm/row-shm'), 'word');
    }),
    row('ipc POD', '/dev/shm has 64 MiB and mode 1777', async (t) => {
      same(
        await t.output('stat -c %a /dev/shm; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'),
        '1777\n65536',
      );
    }),
    row('ipc NODE', "is the host's IPC namespace", async (t) => {
      const pod = await t.pod({ linux: sandboxLinux({ pid: 1, network: 2, ipc: 2 }) });
      same(await namespacesIn(t, ['ipc'], pod), [namespaceOf('self', 'ipc')]);
    }),
    row('pid CONTAINER', "each container's first process is 1 in a namespace of its own", async (t) => {
      const [[one], [two]] = await Promise.all([
        namespacesIn(t, ['pid'], await t.plain()),
        namespacesIn(t, ['pid'], await t.plain()),
      ]);
      holds(one !== two && one !== namespaceOf('self', 'pid'), 'shared');
      same(await t.output('echo $$'), '1');
    }),
    row('pid POD', 'containers of a pod share one PID namespace and see each other', async (t) => {
      const pod = await t.stage.shared('sharedpid');
      const linux = { securityContext: { namespaceOptions: { pid: 0, network: 2 } as const } };
      const marker = t.stage.name('marker');
      await t.start({ command: ['sh', '-c', `sleep 1000000; : ${marker}`], linux }, pod);
      matches(
        await t.output('cat /proc/[0-9]*/cmdline | tr "\\0" " "', { linux }, pod),
        new RegExp(marker, 'u'),
      );
    }),
    row('pid NODE', "is the host's PID namespace", async (t) => {
      const pod = await t.pod({ linux: sandboxLinux({ pid: 2, network: 2 }) });
      same(await namespacesIn(t, ['pid'], pod), [namespaceOf('self', 'pid')]);
    }),
    row('hostname', 'is what uname, /etc/hostname and HOSTNAME say', async (t) => {
      const pod = await network(t);
      same(
        await t.output('hostname; cat /etc/hostname; echo $HOSTNAME', {}, pod),
        'conformance-net\nconformance-net\nconformance-net',
      );
    }),
    row('hostname', "empty on the host network: the host's", async (t) =>
      same(await t.output('hostname'), hostname()),
    ),
    row('hostname', "empty in a network of its own: no longer the host's", async (t) => {
      const pod = await t.pod(networked);
      const name = await t.output(
        'hostname',
        { linux: { securityContext: { namespaceOptions: { pid: 1 } } } },
        pod,
      );
      holds(name !== '' && name !== hostname(), name);
    }),
    row('dns_config', 'is what /etc/resolv.conf says', async (t) => {
      const pod = await t.pod({
        dnsConfig: {
          servers: ['10.9.8.7', 'fd00::1'],
          searches: ['a.example', 'b.example'],
          options: ['ndots:5', 'rotate'],
        },
      });
      const lines = (await t.output('cat /etc/resolv.conf', {}, pod))
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
      same(lines.toSorted(), [
        'nameserver 10.9.8.7',
        'nameserver fd00::1',
        'options ndots:5 rotate',
        'search a.example b.example',
      ]);
    }),
    row('dns_config', "missing: the host's resolv.conf", async (t) =>
      same(await t.output('cat /etc/resolv.conf'), readFileSync('/etc/resolv.conf', 'utf8').trimEnd()),
    ),
    row('dns_config', "there and empty: an empty resolv.conf, none of the host's", async (t) =>
      same(await t.output('cat /etc/resolv.conf', {}, await t.pod({ dnsConfig: {} })), ''),
    ),
    row('dns_config', 'more than three servers and six search domains are kept', async (t) => {
      const servers = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
      const searches = Array.from({ length: 8 }, (_none, at) => `s${at}.example`);
      const pod = await t.pod({ dnsConfig: { servers, searches, options: [] } });
      const text = await t.output('cat /etc/resolv.conf', {}, pod);
      same(
        [...servers, ...searches].filter((word) => !text.includes(word)),
        [],
      );
    }),
    row('linux.sysctls', 'of the network are in force, and not on the host', async (t) => {
      const before = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
      const pod = await t.pod({
        linux: { ...sandboxLinux(options), sysctls: { 'net.ipv4.ip_local_port_range': '20000 20100' } },
      });
      same(
        await t.output(
          'tr "\\t" " " < /proc/sys/net/ipv4/ip_local_port_range',
          { linux: { securityContext: { namespaceOptions: { pid: 1 } } } },
          pod,
        ),
        '20000 20100',
      );
      same(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), before);
    }),
    row(
      'linux.sysctls',
      "of an interface that the network's plugins make are in force: net.ipv4.conf.eth0",
      async (t) => {
        const pod = await t.pod({
          linux: { ...sandboxLinux(options), sysctls: { 'net.ipv4.conf.eth0.arp_ignore': '2' } },
        });
        same(
          await t.output(
            'cat /proc/sys/net/ipv4/conf/eth0/arp_ignore',
            { linux: { securityContext: { namespaceOptions: { pid: 1 } } } },
            pod,
          ),
          '2',
        );
      },
    ),
    row(
      'linux.sysctls',
      'of IPC are in force: kernel.shmmax, kernel.msgmax, kernel.sem, fs.mqueue.msg_max',
      async (t) => {
        const sysctls = {
          'kernel.shmmax': '1048576',
          'kernel.msgmax': '16384',
          'kernel.sem': '300 32000 32 128',
          'fs.mqueue.msg_max': '20',
        };
        const pod = await t.pod({ linux: { ...sandboxLinux({ pid: 1, network: 2 }), sysctls } });
        same(
          await t.output(
            'cd /proc/sys; cat kernel/shmmax kernel/msgmax kernel/sem fs/mqueue/msg_max | tr "\\t" " "',
            {},
            pod,
          ),
          Object.values(sysctls).join('\n'),
        );
      },
    ),
    row('linux.sysctls', 'a name that the kernel does not have is refused, and no pod is left', async (t) => {
      await t.podRefused(
        { linux: { ...sandboxLinux(options), sysctls: { 'net.ipv4.no_such_thing': '1' } } },
        ['INVALID_ARGUMENT', 'UNKNOWN', 'NOT_FOUND', 'FAILED_PRECONDITION', 'INTERNAL'],
      );
    }),
    row('linux.cgroup_parent', 'containers are below it', async (t) => {
      const pid = await t.pid(await t.start());
      const inPlace = cgroupOf(pid, 'memory');
      const first = inPlace.split('/').slice(0, 2).join('/');
      const name = t.stage.name('parent');
      // the systemd driver takes slices only, in whose names a dash is a level
      const parent = first.endsWith('.slice')
        ? `${first}${first.slice(0, -'.slice'.length)}-${name.replaceAll('-', '_')}.slice`
        : `${first}/${name}`;
      // the kubelet makes and removes the pod's cgroup, so does this row: it is gone before the row ends or it was not
      // empty
      t.after(async () => await removeCgroup(parent));
      const pod = await t.pod({ linux: { ...sandboxLinux({ pid: 1, network: 2 }), cgroupParent: parent } });
      matches(cgroupOf(await t.pid(await t.start({}, pod)), 'memory'), new RegExp(`^${parent}/`, 'u'));
    }),
    row('privileged', 'a privileged container in a pod that is not is refused', async (t) => {
      await t.createRefused(
        { linux: { securityContext: { namespaceOptions: { pid: 1, network: 2 }, privileged: true } } },
        'INVALID_ARGUMENT',
      );
    }),
    row('sandbox_config', 'of CreateContainer may be left out: the runtime knows its pod', async (t) => {
      const { id: podSandboxId } = await t.plain();
      t.keepContainer(
        (await t.runtime.createContainer({ podSandboxId, config: await t.container() })).containerId,
      );
    }),
  ],
};
