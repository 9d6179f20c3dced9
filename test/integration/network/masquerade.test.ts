// The masquerade rules of the default network by the real nft and the real iptables: a pod with an address that nobody
// outside knows a way back to reaches a server there.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import { defaultConflist, defaultNetwork, masqueradeRules } from '../../../src/network/default-conflist.ts';
import type { NetworkDriver } from '../../../src/network/driver.ts';
import { Masquerade } from '../../../src/network/masquerade.ts';
import { removeMasquerade } from '../../../src/network/masquerade-tools.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { unless } from '../../support/skips/unless.ts';
import { unpackedProgram } from '../../support/storage-drivers.ts';
import { debianTree } from '../../support/tools/debian.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { BenchNet, effect, whyNot } from './bench-net.ts';

const SUBNETS = '10.231.30.0/24,fd77:30::/64';
/** For a wait that ends the same way however long it is. */
const NO_ANSWER_MS = 300;
const TOOLS = ['nft', 'iptables'] as const;

let net: BenchNet;
afterEach(async () => net?.close());

function lacksTool(tool: (typeof TOOLS)[number]): string {
  const why = whyNot();
  if (why !== '' || tool === 'iptables') return why;
  try {
    debianTree('nftables');
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A directory with the programs of one tool only. */
function programsOf(tool: (typeof TOOLS)[number]): string {
  const directory = join(net.root, `only-${tool}`);
  if (existsSync(directory)) return directory;
  mkdirSync(directory);
  if (tool === 'nft') unpackedProgram('nftables', directory, 'usr/sbin/nft');
  else {
    for (const family of ['iptables', 'ip6tables'])
      for (const rest of ['', '-save', '-restore'])
        symlinkSync(`/usr/sbin/${family}${rest}`, join(directory, `${family}${rest}`));
  }
  return directory;
}

interface Started {
  readonly driver: NetworkDriver;
  readonly masquerade: Masquerade;
  readonly clock: HandClock;
  readonly problems: Map<string, string>;
}

async function start(toolDirs: readonly string[]): Promise<Started> {
  const own = { bridge: net.bridge, subnet: SUBNETS };
  const clock = new HandClock();
  const problems = new Map<string, string>();
  const masquerade = new Masquerade({
    rules: masqueradeRules(own),
    file: join(net.root, 'network.masquerade'),
    runTool: net.runTool,
    toolDirs,
    clock,
    report: ({ subnet }, problem) => void problems.set(subnet, problem),
    log: silentLog,
  });
  const fallback = defaultNetwork({ ...own, leaseDir: net.leaseDir });
  return { driver: await net.driver({ fallback, masquerade }), masquerade, clock, problems };
}

/** A server in a namespace beyond the host, which has no route to pods: the addresses that it sees. */
async function outside(): Promise<{
  readonly seenBy: (id: SandboxId, host: string, patienceMs: number) => string;
  readonly close: () => void;
}> {
  const name = `${net.host}o`;
  const ip = (...argv: string[]): string => execFileSync('ip', argv, { encoding: 'utf8' });
  ip('netns', 'add', name);
  ip('-n', net.host, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'out0', 'netns', name);
  for (const [space, device, at] of [
    [net.host, 'up0', 1],
    [name, 'out0', 2],
  ] as const) {
    ip('-n', space, 'addr', 'add', `198.51.100.${at}/24`, 'dev', device);
    ip('-n', space, 'addr', 'add', `2001:db8::${at}/64`, 'dev', device, 'nodad');
    ip('-n', space, 'link', 'set', device, 'up');
  }
  const serve =
    "require('net').createServer((s) => s.end(s.remoteAddress)).listen(7777, '::', () => console.log('up'))";
  const server = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', serve]);
  await new Promise((resolve) => void server.stdout.once('data', resolve));
  return {
    seenBy: (id, host, patienceMs) => {
      const ask = `require('net').connect(7777, '${host}').setTimeout(${patienceMs}, function () { this.destroy(); console.log('none') }).on('error', () => console.log('none')).pipe(process.stdout)`;
      return net.inPod(id, process.execPath, '-e', ask).trim();
    },
    close: () => {
      server.kill('SIGKILL');
      ip('netns', 'delete', name);
    },
  };
}

function flush(tool: (typeof TOOLS)[number]): void {
  if (tool === 'nft') net.inHost(join(programsOf('nft'), 'nft'), 'flush', 'ruleset');
  else for (const family of ['iptables', 'ip6tables']) net.inHost(family, '-t', 'nat', '-F');
}

const rulesOf = (tool: (typeof TOOLS)[number]): string =>
  tool === 'nft'
    ? net.inHost(join(programsOf('nft'), 'nft'), 'list', 'tables')
    : net.inHost('iptables-save', '-t', 'nat') + net.inHost('ip6tables-save', '-t', 'nat');

const withPorts = (id: SandboxId) =>
  sandboxInput(id, { portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8098, hostIp: '' }] });
const steps = (notes: readonly string[]): string[] => notes.filter((on, at) => notes[at - 1] !== on);

for (const tool of TOOLS) {
  const why = lacksTool(tool);
  unless(describe, why)(`the default network with ${tool}`, () => {
    beforeEach(() => {
      net = new BenchNet();
    });

    it('lets pods out under an address of the node, again after a flush, and leaves nothing when it is removed', async () => {
      const { driver, masquerade, clock, problems } = await start([programsOf(tool)]);
      const world = await outside();
      try {
        expect(rulesOf(tool)).not.toContain(net.bridge);
        const id = net.pod(1);
        await driver.add(sandboxInput(id), effect());
        const answers = (patienceMs = EVENT_MS): string[] =>
          ['198.51.100.2', '2001:db8::2'].map((host) => world.seenBy(id, host, patienceMs));
        expect(answers()).toEqual(['::ffff:198.51.100.1', '2001:db8::1']);
        flush(tool);
        // no answer ever comes
        expect(answers(NO_ANSWER_MS)).toEqual(['none', 'none']);
        clock.nowMs += networkLimits.masqueradeCheckMs;
        await masquerade.check();
        expect(answers()).toEqual(['::ffff:198.51.100.1', '2001:db8::1']);
        expect([...problems.values()]).toEqual(['', '']);
        await driver.del(sandboxInput(id), effect());
        for (let twice = 0; twice < 2; twice += 1)
          await removeMasquerade({ runTool: net.runTool, toolDirs: [programsOf(tool)] }, net.bridge);
        expect(rulesOf(tool)).not.toContain(net.bridge);
      } finally {
        world.close();
      }
    });

    it('does not touch what others have, nor the rules of another bridge', async () => {
      const { driver } = await start([programsOf(tool)]);
      await driver.add(sandboxInput(net.pod(1)), effect());
      const other = masqueradeRules({ bridge: 'othr0', subnet: '10.231.31.0/24' });
      const second = new Masquerade({
        rules: other,
        file: join(net.root, 'other.masquerade'),
        runTool: net.runTool,
        toolDirs: [programsOf(tool)],
        clock: new HandClock(),
        report: (_, problem) => expect(problem).toBe(''),
        log: silentLog,
      });
      await second.ensure();
      expect(rulesOf(tool)).toContain('othr0');
      await removeMasquerade({ runTool: net.runTool, toolDirs: [programsOf(tool)] }, 'othr0');
      expect(rulesOf(tool)).not.toContain('othr0');
      expect(rulesOf(tool)).toContain(net.bridge);
    });
  });
}

unless(describe, whyNot())('the default network’s chain', () => {
  beforeEach(() => {
    net = new BenchNet();
  });

  it('has portmap for a pod with host ports only, in ADD and in DEL', async () => {
    const { driver } = await start([programsOf('iptables')]);
    const [plain, mapped] = [net.pod(1), net.pod(2)];
    const [first, second, third, fourth] = [effect(), effect(), effect(), effect()];
    await driver.add(sandboxInput(plain), first);
    expect(steps(first.notes)).toEqual(['masquerade rule', 'CNI ADD bridge']);
    expect(net.rules(plain)).toEqual([]);
    await driver.add(withPorts(mapped), second);
    expect(steps(second.notes)).toEqual(['CNI ADD bridge', 'CNI ADD portmap']);
    expect(net.rules(mapped).length).toBeGreaterThan(2);
    await driver.del(withPorts(mapped), third);
    expect(steps(third.notes).slice(0, 2)).toEqual(['CNI DEL portmap', 'CNI DEL bridge']);
    await driver.del(sandboxInput(plain), fourth);
    expect(steps(fourth.notes)).toEqual(['CNI DEL bridge', 'firewall rules left by CNI plugins']);
    expect(net.rules(mapped)).toEqual([]);
    expect(net.leases(net.bridge)).toEqual([]);
  });

  it('of an earlier version, with masquerade rules for each pod, is what DEL runs for its pods', async () => {
    const text = defaultConflist({ bridge: net.bridge, subnet: SUBNETS, leaseDir: net.leaseDir });
    const file = join(net.confDir, '10.conflist');
    writeFileSync(file, text.replace('"isGateway": true', '"isGateway": true, "ipMasq": true'));
    const before = await net.driver();
    const id = net.pod(1);
    await before.add(sandboxInput(id), effect());
    expect(net.rules(id).length).toBeGreaterThan(2);
    await before.stop();
    rmSync(file);
    const { driver } = await start([programsOf('iptables')]);
    const fx = effect();
    await driver.del(sandboxInput(id), fx);
    expect(steps(fx.notes)).toContain('CNI DEL portmap');
    expect(net.rules(id)).toEqual([]);
    expect(net.leases(net.bridge)).toEqual([]);
  });

  it('gives a pod its network where the rules can’t be made, and the report has the reason', async () => {
    const { driver, problems } = await start([]);
    const id = net.pod(1);
    expect((await driver.add(sandboxInput(id), effect())).ips).toHaveLength(2);
    expect([...problems.values()]).toEqual([
      expect.stringContaining('install nftables or iptables'),
      expect.stringContaining('install nftables or iptables'),
    ]);
    expect(driver.status().ready).toBe(true);
  });
});
