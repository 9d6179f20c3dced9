import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SandboxId } from '../../../src/base/ids.ts';
import { defaultNetwork } from '../../../src/network/default-conflist.ts';
import { removeBridge } from '../../../src/network/own-bridge.ts';
import { faultOf } from '../../support/fault-of.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { BenchNet, effect, whyNot } from './bench-net.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { unless } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const hangingAdd = injects('F50', 'a plugin that hangs in ADD');
const secondFails = injects('F51', 'ADD of the second plugin of a chain fails');
const failingDel = injects('F53', 'a plugin whose DEL fails, over a restart');
const badResult = injects('F54', 'a result of ADD that cannot be used');
const goneConflist = injects('F55', 'the conflist is removed between ADD and DEL');
const goneNamespace = injects('F57', 'the network namespace is gone before DEL');
const emptyPool = injects('F58', 'the address pool of host-local is used up');

const why = whyNot();
if (why !== '') console.log(`skipped: test/integration/network/cni.test.ts ${why}`);

let net: BenchNet;
beforeEach(() => {
  if (why === '') net = new BenchNet();
});
afterEach(async () => {
  if (why === '') await net.close();
});

const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
const withPorts = (id: SandboxId) =>
  sandboxInput(id, { portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8099, hostIp: '' }] });

// an orphan that was killed stays as a zombie until the machine's init takes it
function runs(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/mu.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function nothingLeft(id: SandboxId, network: string): void {
  expect(net.leases(network)).toEqual([]);
  expect(net.rules(id)).toEqual([]);
  expect(existsSync(net.cacheDir) ? readdirSync(net.cacheDir) : []).toEqual([]);
}

unless(describe, why)('the real bridge, host-local and portmap', () => {
  it('give a pod its address, route and host port, and leave nothing after DEL', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.1.0/24']), portmap]);
    writeFileSync(join(net.confDir, '20-bad.conflist'), '[]');
    const driver = await net.driver();
    expect(driver.status()).toEqual({
      ready: true,
      reason: '',
      message: '',
      inUse: { name: 'n', file: join(net.confDir, '10-n.conflist') },
      skipped: new Map([[join(net.confDir, '20-bad.conflist'), 'not a JSON object']]),
    });
    const id = net.pod(1);
    const fx = effect();
    const { ips } = await driver.add(withPorts(id), fx);
    expect(fx.notes.filter((on, at, all) => all[at - 1] !== on)).toEqual([
      'CNI ADD bridge',
      'CNI ADD portmap',
    ]);
    expect(ips).toEqual(['10.231.1.2']);
    expect(net.inPod(id, 'ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0')).toContain('10.231.1.2/24');
    expect(net.inPod(id, 'ip', 'route')).toContain('default via 10.231.1.1 dev eth0');
    expect(net.leases('n')).toEqual(['10.231.1.2']);
    expect(net.rules(id).length).toBeGreaterThan(4);
    expect(await driver.observe(effect())).toEqual([id]);
    await driver.del(withPorts(id), effect());
    nothingLeft(id, 'n');
    expect(net.veths()).toEqual([]);
    expect(await driver.observe(effect())).toEqual([]);
    await driver.del(withPorts(id), effect());
  });

  it('give both address families, IPv6 first when the network says so, and leave no rule of either', async () => {
    net.conflist('n', [net.bridgeConf(['fd77:1::/64', '10.231.2.0/24'])]);
    const driver = await net.driver();
    const id = net.pod(1);
    expect(await driver.add(sandboxInput(id), effect())).toEqual({ ips: ['fd77:1::2', '10.231.2.2'] });
    // the interface goes as in a DEL that was killed half-way
    net.inPod(id, 'ip', 'link', 'delete', 'eth0');
    expect(net.rules(id).length).toBeGreaterThan(0);
    await driver.del(sandboxInput(id), effect());
    nothingLeft(id, 'n');
  });

  it('I3: leave no rule when DEL is repeated after one interrupted behind the link (bridge 1.1.1 leaves some)', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.3.0/24']), portmap]);
    const driver = await net.driver();
    const [id, other] = [net.pod(1), net.pod(2)];
    await driver.add(withPorts(id), effect());
    await driver.add(sandboxInput(other), effect());
    const otherRules = net.rules(other).filter((line) => line.includes(other));
    net.inPod(id, 'ip', 'link', 'delete', 'eth0');
    await driver.del(withPorts(id), effect());
    expect(net.rules(id).filter((line) => line.includes(id))).toEqual([]);
    // and none of another pod's
    expect(net.rules(other).filter((line) => line.includes(other))).toEqual(otherRules);
    expect(net.leases('n')).toEqual(['10.231.3.3']);
    await driver.del(sandboxInput(other), effect());
    nothingLeft(id, 'n');
  });

  it('F57: DEL succeeds and frees the lease when the namespace is gone', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.4.0/24']), portmap]);
    const driver = await net.driver();
    const id = net.pod(1);
    await driver.add(withPorts(id), effect());
    net.dropPod(id);
    goneNamespace.happened();
    await driver.del(withPorts(id), effect());
    nothingLeft(id, 'n');
  });

  it('F55: DEL uses the configuration of ADD after it was replaced, in a new daemon', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.5.0/24'])]);
    const first = await net.driver();
    const id = net.pod(1);
    await first.add(sandboxInput(id), effect());
    await first.stop();
    rmSync(join(net.confDir, '10-n.conflist'));
    const second = await net.driver();
    expect(second.status()).toMatchObject({ ready: false, reason: 'NetworkPluginNotReady' });
    goneConflist.happened();
    await second.del(sandboxInput(id), effect());
    nothingLeft(id, 'n');
    expect(await faultOf(second.add(sandboxInput(id), effect()))).toMatchObject({ kind: 'notReady' });
  });

  it('F51: when the second plugin of the chain fails, DEL of the whole chain frees link, rule and lease', async () => {
    net.plugin(
      'late',
      'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] && { echo \'{"code":100,"msg":"not today"}\'; exit 1; }; exit 0',
    );
    net.conflist('n', [net.bridgeConf(['10.231.6.0/24']), { type: 'late' }]);
    const driver = await net.driver();
    const id = net.pod(1);
    const fault = await faultOf(driver.add(sandboxInput(id), effect()));
    expect(fault.message).toBe(`CNI ADD of sandbox ${id} to network n: plugin late: error 100: not today`);
    secondFails.happened();
    expect(net.leases('n')).toEqual(['10.231.6.2']);
    await driver.del(sandboxInput(id), effect());
    nothingLeft(id, 'n');
    expect(net.veths()).toEqual([]);
  });

  it('F58: an empty address pool is reported as exhausted, and the retry works when an address is free again', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.7.0/30'])]);
    const driver = await net.driver();
    const [first, second] = [net.pod(1), net.pod(2)];
    await driver.add(sandboxInput(first), effect());
    expect(await faultOf(driver.add(sandboxInput(second), effect()))).toMatchObject({
      kind: 'exhausted',
      retryable: true,
    });
    emptyPool.happened();
    await driver.del(sandboxInput(second), effect());
    await driver.del(sandboxInput(first), effect());
    expect(await driver.add(sandboxInput(second), effect())).toEqual({ ips: ['10.231.7.2'] });
    await driver.del(sandboxInput(second), effect());
    nothingLeft(second, 'n');
  });

  it('S77: more failing pods than the pool has addresses leave no lease', async () => {
    net.plugin('late', 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] && exit 1; exit 0');
    net.conflist('n', [net.bridgeConf(['10.231.8.0/29'], { ipMasq: false }), { type: 'late' }]);
    const driver = await net.driver();
    const id = net.pod(1);
    for (let round = 0; round < 12; round += 1) {
      expect((await faultOf(driver.add(sandboxInput(id), effect()))).message).toContain('plugin late');
      await driver.del(sandboxInput(id), effect());
    }
    nothingLeft(id, 'n');
  });

  it('serve concurrent pods with one address each', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.9.0/24']), portmap]);
    const driver = await net.driver();
    const pods = [1, 2, 3, 4, 5].map((at) => net.pod(at));
    const added = await Promise.all(pods.map(async (id) => driver.add(sandboxInput(id), effect())));
    expect(new Set(added.flatMap(({ ips }) => ips)).size).toBe(pods.length);
    await Promise.all(pods.map(async (id) => driver.del(sandboxInput(id), effect())));
    for (const id of pods) nothingLeft(id, 'n');
    expect(net.veths()).toEqual([]);
  });

  it('run behind loopback in one chain', async () => {
    net.conflist('n', [{ type: 'loopback' }, net.bridgeConf(['10.231.10.0/24'])]);
    const driver = await net.driver();
    const id = net.pod(1);
    expect(await driver.add(sandboxInput(id), effect())).toEqual({ ips: ['10.231.10.2'] });
    expect(net.inPod(id, 'ip', '-o', 'link', 'show', 'dev', 'lo')).toContain('LOOPBACK,UP');
    await driver.del(sandboxInput(id), effect());
    nothingLeft(id, 'n');
  });

  it.each(['0.3.1', '0.4.0', '1.0.0'])('work in version %s', async (cniVersion) => {
    net.conflist('n', [net.bridgeConf(['10.231.11.0/24']), portmap], { cniVersion });
    const driver = await net.driver();
    const id = net.pod(1);
    expect(await driver.add(withPorts(id), effect())).toEqual({ ips: ['10.231.11.2'] });
    await driver.del(withPorts(id), effect());
    nothingLeft(id, 'n');
  });

  it('make the default network, whose bridge can be removed', async () => {
    const fallback = defaultNetwork({ bridge: net.bridge, subnet: '10.231.12.0/24', leaseDir: net.leaseDir });
    const driver = await net.driver({ fallback });
    expect(driver.status().ready).toBe(true);
    const id = net.pod(1);
    expect(await driver.add(withPorts(id), effect())).toEqual({ ips: ['10.231.12.2'] });
    expect(net.inHost('ip', '-o', 'link', 'show', 'dev', net.bridge)).toContain(net.bridge);
    await driver.del(withPorts(id), effect());
    nothingLeft(id, net.bridge);
    await removeBridge(net);
    await removeBridge(net);
    expect(net.inHost('ip', '-o', 'link', 'show', 'type', 'bridge')).toBe('');
  });

  it('are recognised as too old for a configuration before any pod', async () => {
    net.conflist('n', [net.bridgeConf(['10.231.13.0/24'])], { cniVersion: '1.1.0' });
    const driver = await net.driver();
    const { ready, message } = driver.status();
    // newer plugins do speak 1.1.0
    expect(ready || message.includes('plugin bridge: supports')).toBe(true);
  });
});

unless(describe, why)('plugins that misbehave', () => {
  const setUp = async (body: string, versions?: readonly string[]) => {
    net.plugin('fake', body, versions);
    net.conflist('n', [{ type: 'fake' }], {
      cniVersion: versions?.includes('1.1.0') === true ? '1.1.0' : '1.0.0',
    });
    return net.driver();
  };

  it('F50: a hanging plugin is killed with its children at the deadline; DEL works', async (context) => {
    const pids = join(net.root, 'pids');
    const driver = await setUp(
      `cat >/dev/null; [ "$CNI_COMMAND" = DEL ] && exit 0; sleep 1000 & echo "$$ $!" > ${pids}; wait`,
    );
    const id = net.pod(1);
    const fault = await faultOf(driver.add(sandboxInput(id), effect(1500)));
    expect(fault).toMatchObject({ kind: 'timedOut' });
    expect(fault.message).toContain('plugin fake: timed out after 1500 ms');
    if (!existsSync(pids)) stoodStill(context, 'the deadline came before the plugin hung');
    hangingAdd.happened();
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) expect(runs(pid)).toBe(false);
    await driver.del(sandboxInput(id), effect());
    expect(await driver.observe(effect())).toEqual([]);
  });

  it('a plugin whose caller goes away is killed, and reported as cancelled', async () => {
    const driver = await setUp('cat >/dev/null; [ "$CNI_COMMAND" = DEL ] && exit 0; exec sleep 1000');
    const id = net.pod(1);
    const abort = new AbortController();
    const fx = {
      ...effect(60_000, abort.signal),
      note: ({ pid }: { pid?: number }) => pid !== undefined && abort.abort(),
    };
    expect(await faultOf(driver.add(sandboxInput(id), fx as ReturnType<typeof effect>))).toMatchObject({
      kind: 'cancelled',
    });
    await driver.del(sandboxInput(id), effect());
  });

  it.each([
    ['garbage', 'echo hello', 'not a JSON object'],
    ['silence', ':', 'invalid result: empty'],
    ['3 MiB', "head -c 3145728 /dev/zero | tr '\\0' ' '", 'more than 1048576 bytes of output'],
    [
      'another interface',
      `echo '{"cniVersion":"1.0.0","interfaces":[{"name":"net9","sandbox":"/x"}],"ips":[{"address":"10.0.0.2/24","interface":0}]}'`,
      'net9, not eth0',
    ],
    ['no address', `echo '{"cniVersion":"1.0.0"}'`, 'no address'],
  ])('F54: a result of %s gives no address and leaves the DEL pending', async (_name, body, reason) => {
    const driver = await setUp(`cat >/dev/null; [ "$CNI_COMMAND" = ADD ] || exit 0; ${body}`);
    const id = net.pod(1);
    const fault = await faultOf(driver.add(sandboxInput(id), effect()));
    expect(fault.kind).toBe('outside');
    expect(fault.message).toContain(reason);
    badResult.happened();
    expect(await driver.observe(effect())).toEqual([id]);
    await driver.del(sandboxInput(id), effect());
    expect(await driver.observe(effect())).toEqual([]);
  });

  it('F53: a failed DEL stays pending over a restart until it succeeds', async () => {
    const good = `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}`;
    const open = join(net.root, 'open');
    const driver = await setUp(
      `cat >/dev/null; [ "$CNI_COMMAND" = ADD ] && { echo '${good}'; exit 0; }; [ -e ${open} ] && exit 0; echo '{"code":11,"msg":"later"}'; exit 1`,
    );
    const id = net.pod(1);
    expect(await driver.add(sandboxInput(id), effect())).toEqual({ ips: ['10.0.0.2'] });
    expect(await faultOf(driver.del(sandboxInput(id), effect()))).toMatchObject({
      kind: 'outside',
      retryable: true,
    });
    await driver.stop();
    const next = await net.driver();
    expect(await next.observe(effect())).toEqual([id]);
    expect(await faultOf(next.del(sandboxInput(id), effect()))).toMatchObject({ retryable: true });
    failingDel.happened(2);
    net.inHost('touch', open);
    await next.del(sandboxInput(id), effect());
    expect(await next.observe(effect())).toEqual([]);
  });

  it('STATUS and GC of 1.1.0 reach the plugin', async () => {
    const log = join(net.root, 'log');
    const down = join(net.root, 'down');
    const good = `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}`;
    const driver = await setUp(
      `echo "$CNI_COMMAND $(cat)" >> ${log}; case $CNI_COMMAND in STATUS) [ -e ${down} ] && { echo '{"code":50,"msg":"no daemon"}'; exit 1; } ;; ADD) echo '${good}' ;; esac; exit 0`,
      ['1.0.0', '1.1.0'],
    );
    expect(driver.status().ready).toBe(true);
    const id = net.pod(1);
    await driver.add(sandboxInput(id), effect());
    await driver.collect([], effect());
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['STATUS', 'ADD', 'GC']);
    expect(lines[2]).toContain(`"cni.dev/valid-attachments":[{"containerID":"${id}","ifname":"eth0"}]`);
    await driver.del(sandboxInput(id), effect());
    net.inHost('touch', down);
    const second = await net.driver();
    expect(second.status()).toMatchObject({
      ready: false,
      reason: 'NetworkPluginNotReady',
      message: 'CNI STATUS in network n: plugin fake: error 50: no daemon',
    });
  });

  it('GC at a restart frees the address of a pod that nobody knows, and keeps those of the others', async () => {
    const given = join(net.root, 'given');
    mkdirSync(given);
    const answer = `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}`;
    const driver = await setUp(
      `input=$(cat); case $CNI_COMMAND in
      ADD) touch ${given}/$CNI_CONTAINERID; echo '${answer}' ;;
      DEL) [ -e ${net.root}/open ] || exit 1; rm -f ${given}/$CNI_CONTAINERID ;;
      GC) for one in ${given}/*; do case $input in *$(basename $one)*) ;; *) rm $one ;; esac; done ;;
      esac; exit 0`,
      ['1.0.0', '1.1.0'],
    );
    const [live, leaving, recorded] = [net.pod(1), net.pod(2), net.pod(3)];
    await driver.add(sandboxInput(live), effect());
    await driver.add(sandboxInput(leaving), effect());
    await faultOf(driver.del(sandboxInput(leaving), effect()));
    for (const one of ['f'.repeat(64), recorded]) writeFileSync(join(given, one), '');
    await driver.stop();
    const next = await net.driver();
    expect(next.collectable()).toMatch(/^n@/u);
    await next.collect([recorded], effect());
    expect(readdirSync(given).toSorted()).toEqual([live, leaving, recorded].toSorted());
    net.inHost('touch', join(net.root, 'open'));
    for (const id of [live, leaving]) await next.del(sandboxInput(id), effect());
    expect(readdirSync(given)).toEqual([recorded]);
  });

  it('S64: no plugin sees a variable of the daemon', async () => {
    const log = join(net.root, 'env');
    const driver = await setUp(
      `cat >/dev/null; env > ${log}; [ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'; exit 0`,
    );
    const id = net.pod(1);
    await driver.add(sandboxInput(id), effect());
    const names = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    // PWD, OLDPWD, SHLVL and _ are the shell's own
    const own = names.filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name ?? ''));
    expect(new Set(own)).toEqual(
      new Set(['CNI_ARGS', 'CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_NETNS', 'CNI_PATH', 'PATH']),
    );
    await driver.del(sandboxInput(id), effect());
  });
});
