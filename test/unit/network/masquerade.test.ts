import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import { masqueradeRules } from '../../../src/network/default-conflist.ts';
import { Masquerade } from '../../../src/network/masquerade.ts';
import { removeMasquerade } from '../../../src/network/masquerade-tools.ts';
import { HandClock } from '../../support/hand-clock.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { fakePlugins } from './fake-plugins.ts';

const IPTABLES = ['', '-save', '-restore'].flatMap((rest) => [`iptables${rest}`, `ip6tables${rest}`]);
const BOTH = '10.62.0.0/16,fd62::/64';
const NO_NFT: Answer = { exitCode: 1, stderr: 'Error: No such file or directory\nlist table ip x' };

/** Of the last setUp. */
let tools: FakePlugins;

interface Setting {
  readonly subnet?: string;
  readonly installed?: readonly string[];
  readonly answer?: (seen: Seen) => Answer | Promise<Answer>;
}

interface Bench {
  readonly masquerade: Masquerade;
  readonly clock: HandClock;
  /** The last report for each subnet. */
  readonly problems: Map<string, string>;
  /** Tool and input, or tool and words, of what ran since the last call. */
  readonly ran: () => string[];
}

function setUp({ subnet = '10.62.0.0/16', installed = ['nft'], answer = () => ({}) }: Setting = {}): Bench {
  const own = fakePlugins(answer);
  tools = own;
  onTestFinished(() => own.close());
  tools.install(...installed);
  const clock = new HandClock();
  const problems = new Map<string, string>();
  const masquerade = new Masquerade({
    rules: masqueradeRules({ bridge: 'br7', subnet }),
    file: join(tools.dir, 'network.masquerade'),
    runTool: tools.runTool,
    toolDirs: [tools.dir],
    clock,
    report: (rule, problem) => void problems.set(rule.subnet, problem),
    log: silentLog,
  });
  const ran = (): string[] =>
    tools.seen
      .splice(0)
      .map(({ tool, argv, stdinText }) => `${tool} ${stdinText || argv.slice(1).join(' ')}`);
  return { masquerade, clock, problems, ran };
}

const NFT_RULES = `nft add table ip troupe-masquerade-br7
delete table ip troupe-masquerade-br7
table ip troupe-masquerade-br7 {
 chain postrouting {
  type nat hook postrouting priority 100; policy accept;
  ip saddr 10.62.0.0/16 ip daddr != 10.62.0.0/16 ip daddr != 224.0.0.0/4 masquerade comment "troupe: 10.62.0.0/16"
 }
}
`;
const NFT_RULES_6 = `nft add table ip6 troupe-masquerade-br7
delete table ip6 troupe-masquerade-br7
table ip6 troupe-masquerade-br7 {
 chain postrouting {
  type nat hook postrouting priority 100; policy accept;
  ip6 saddr fd62::/64 ip6 daddr != fd62::/64 ip6 daddr != ff00::/8 masquerade comment "troupe: fd62::/64"
 }
}
`;
const HAS_JUMP = '-w -t nat -C POSTROUTING -m comment --comment troupe -j TROUPE-MASQ-br7';
const CHAIN = `:TROUPE-MASQ-br7 - [0:0]
-A TROUPE-MASQ-br7 -d 10.62.0.0/16 -j RETURN
-A TROUPE-MASQ-br7 -d 224.0.0.0/4 -j RETURN
-A TROUPE-MASQ-br7 -s 10.62.0.0/16 -m comment --comment "troupe: 10.62.0.0/16" -j MASQUERADE
`;
const JUMP = '-A POSTROUTING -m comment --comment troupe -j TROUPE-MASQ-br7\n';

/** nft as on a machine where somebody may flush: a table is listed as it was made. */
function nftWorld(): { readonly tables: Map<string, string>; readonly answer: (seen: Seen) => Answer } {
  const tables = new Map<string, string>();
  const answer = ({ argv, stdinText }: Seen): Answer => {
    const family = /table (ip6?) /u.exec(`${stdinText} ${argv.join(' ')}`)?.[1] ?? '';
    if (stdinText !== '') tables.set(family, stdinText);
    if (argv[1] !== 'list') return {};
    const stdout = tables.get(family);
    return stdout === undefined ? NO_NFT : { stdout };
  };
  return { tables, answer };
}

describe('the rules', () => {
  it('are one table of nftables for each address family, replaced in one transaction', async () => {
    const { masquerade, ran, problems } = setUp({ subnet: BOTH });
    await masquerade.ensure();
    expect(ran()).toEqual([NFT_RULES, NFT_RULES_6]);
    expect([...problems.values()]).toEqual(['', '']);
  });

  it('are a chain of iptables where there is no nft, with one jump', async () => {
    const isThere = { now: false };
    const { masquerade, ran } = setUp({
      installed: IPTABLES,
      answer: ({ argv }) => ({ exitCode: argv.includes('-C') && !isThere.now ? 1 : 0 }),
    });
    await masquerade.ensure();
    expect(ran()).toEqual([`iptables ${HAS_JUMP}`, `iptables-restore *nat\n${CHAIN}${JUMP}COMMIT\n`]);
    isThere.now = true;
    const again = new Masquerade({
      rules: masqueradeRules({ bridge: 'br7' }),
      file: join(tools.dir, 'network.masquerade'),
      runTool: tools.runTool,
      toolDirs: [tools.dir],
      clock: new HandClock(),
      report: () => undefined,
      log: silentLog,
    });
    await again.ensure();
    expect(ran()).toEqual([`iptables ${HAS_JUMP}`, `iptables-restore *nat\n${CHAIN}COMMIT\n`]);
  });

  it('have names that fit the longest name of a bridge', () => {
    const bridge = 'b'.repeat(15);
    expect(`TROUPE-MASQ-${bridge}`.length).toBeLessThanOrEqual(28);
    expect(() => masqueradeRules({ bridge: `${bridge}b` })).toThrow('invalid interface name');
  });
});

describe('a first ADD', () => {
  it('records the bridge, makes the rules once for all ADDs that come together, and none for later ones', async () => {
    const { masquerade, ran } = setUp({
      answer: () => {
        expect(readFileSync(join(tools.dir, 'network.masquerade'), 'utf8')).toBe('br7\n');
        return {};
      },
    });
    expect(masquerade.isMade).toBe(false);
    await Promise.all([masquerade.ensure(), masquerade.ensure()]);
    expect(masquerade.isMade).toBe(true);
    await masquerade.ensure();
    expect(ran()).toEqual([NFT_RULES]);
  });

  it('uses iptables where nft fails, since a kernel may have the part of one only', async () => {
    const { masquerade, ran, problems } = setUp({
      installed: ['nft', ...IPTABLES],
      answer: ({ tool }) =>
        tool === 'nft' ? { exitCode: 1, stderr: 'Error: Protocol not supported' } : { exitCode: 0 },
    });
    await masquerade.ensure();
    expect(ran().map((line) => line.split(' ')[0])).toEqual([
      'nft',
      'iptables',
      'iptables-restore *nat'.split(' ')[0],
    ]);
    expect(problems.get('10.62.0.0/16')).toBe('');
  });

  it('goes on where no tool is installed: the report names what to install', async () => {
    const { masquerade, problems } = setUp({ subnet: BOTH, installed: [] });
    await masquerade.ensure();
    expect(masquerade.isMade).toBe(true);
    expect(problems.get('10.62.0.0/16')).toBe(
      `make masquerade rule of 10.62.0.0/16: install nftables or iptables: no nft or iptables in ${tools.dir}`,
    );
    expect(problems.get('fd62::/64')).toContain('no nft or ip6tables in');
  });

  it('goes on where every tool fails or hangs: the report has what each said', async () => {
    const { masquerade, problems } = setUp({
      installed: ['nft', ...IPTABLES],
      answer: ({ tool }) =>
        tool === 'nft'
          ? { exitCode: null, timedOut: true }
          : { exitCode: 4, stderr: 'iptables-restore: line 6 failed: No such device\n' },
    });
    await masquerade.ensure();
    const bound = networkLimits.masqueradeToolMs;
    expect(problems.get('10.62.0.0/16')).toBe(
      `make masquerade rule of 10.62.0.0/16: nft: timed out after ${bound} ms; iptables-restore: exit code 4: iptables-restore: line 6 failed: No such device`,
    );
    expect(tools.seen.map(({ timeoutMs }) => timeoutMs)).toEqual([bound, bound, bound]);
  });
});

describe('a check', () => {
  it('runs nothing before the first ADD, nor soon after the last check', async () => {
    const world = nftWorld();
    const { masquerade, clock, ran } = setUp({ answer: world.answer });
    clock.nowMs = 1_000_000;
    await masquerade.check();
    expect(ran()).toEqual([]);
    await masquerade.ensure();
    ran();
    clock.nowMs += networkLimits.masqueradeCheckMs - 1;
    await masquerade.check();
    expect(ran()).toEqual([]);
    clock.nowMs += 1;
    await Promise.all([masquerade.check(), masquerade.check()]);
    expect(ran()).toEqual(['nft list table ip troupe-masquerade-br7']);
  });

  it.each([
    ['a flushed rule set', undefined],
    [
      'a flushed table',
      'table ip troupe-masquerade-br7 {\n chain postrouting {\n  type nat hook postrouting }\n}',
    ],
    ['rules of another subnet', NFT_RULES.replaceAll('10.62', '10.63')],
  ])('makes the rules again behind %s', async (_, left) => {
    const world = nftWorld();
    const { masquerade, clock, ran, problems } = setUp({ subnet: BOTH, answer: world.answer });
    await masquerade.ensure();
    ran();
    if (left === undefined) world.tables.delete('ip');
    else world.tables.set('ip', left);
    clock.nowMs += networkLimits.masqueradeCheckMs;
    await masquerade.check();
    expect(ran().filter((line) => !line.startsWith('nft list'))).toEqual([NFT_RULES]);
    expect([...problems.values()]).toEqual(['', '']);
  });

  it.each([
    ['the chain', ['-S']],
    ['the jump', ['-C']],
  ])('makes the rules of iptables again without %s', async (_, gone) => {
    const flushed = { now: false };
    const { masquerade, clock, ran } = setUp({
      installed: IPTABLES,
      answer: ({ argv }) => {
        if (flushed.now && gone.some((word) => argv.includes(word)))
          return { exitCode: 1, stderr: 'iptables: No chain/target/match by that name.' };
        return argv.includes('-S') ? { stdout: CHAIN } : {};
      },
    });
    await masquerade.ensure();
    clock.nowMs += networkLimits.masqueradeCheckMs;
    ran();
    await masquerade.check();
    expect(ran()).toEqual(['iptables -w -t nat -S TROUPE-MASQ-br7', `iptables ${HAS_JUMP}`]);
    flushed.now = true;
    clock.nowMs += networkLimits.masqueradeCheckMs;
    await masquerade.check();
    expect(ran().filter((line) => line.startsWith('iptables-restore'))).toHaveLength(1);
  });

  it('tries again with each scan what could not be made, also once the tool is installed', async () => {
    const { masquerade, clock, ran, problems } = setUp({ installed: [] });
    await masquerade.ensure();
    expect(problems.get('10.62.0.0/16')).not.toBe('');
    tools.install('nft');
    clock.nowMs += networkLimits.masqueradeRetryMs - 1;
    await masquerade.check();
    expect(ran()).toEqual([]);
    clock.nowMs += 1;
    await masquerade.check();
    expect(ran()).toEqual([NFT_RULES]);
    expect(problems.get('10.62.0.0/16')).toBe('');
  });

  it('reports rules that can’t be read', async () => {
    const { masquerade, clock, problems } = setUp({
      answer: ({ argv }) =>
        argv[1] === 'list' ? { exitCode: 1, stderr: 'Operation not permitted (you must be root)\n' } : {},
    });
    await masquerade.ensure();
    clock.nowMs += networkLimits.masqueradeCheckMs;
    await masquerade.check();
    expect(problems.get('10.62.0.0/16')).toBe(
      'nft list: exit code 1: Operation not permitted (you must be root)',
    );
  });
});

describe('a boot of the daemon', () => {
  it('makes the rules again that an earlier boot has made, and none otherwise', async () => {
    const { masquerade, ran } = setUp();
    await masquerade.resume();
    await masquerade.stop();
    expect(ran()).toEqual([]);
    const second = setUp();
    writeFileSync(join(tools.dir, 'network.masquerade'), 'br7\n');
    await second.masquerade.resume();
    await second.masquerade.ensure();
    expect(second.ran()).toEqual([NFT_RULES]);
  });

  it('ends with what runs for the rules, and then begins no check', async () => {
    const { masquerade, clock, ran } = setUp();
    await masquerade.ensure();
    ran();
    await masquerade.stop();
    clock.nowMs += networkLimits.masqueradeCheckMs;
    await masquerade.check();
    expect(ran()).toEqual([]);
  });
});

describe('a removal', () => {
  it('deletes what each tool has made, of both families', async () => {
    const jump = '-A POSTROUTING -m comment --comment troupe -j TROUPE-MASQ-br7';
    const { ran } = setUp({
      installed: ['nft', ...IPTABLES],
      answer: ({ tool, argv }) => {
        if (argv.includes('ip6') || tool === 'ip6tables')
          return tool === 'nft' ? NO_NFT : { exitCode: 1, stderr: 'No chain' };
        return { stdout: tool === 'iptables-save' ? `*nat\n-A POSTROUTING -j OTHER\n${jump}\nCOMMIT\n` : '' };
      },
    });
    await removeMasquerade({ runTool: tools.runTool, toolDirs: [tools.dir] }, 'br7');
    expect(ran()).toEqual([
      'nft list table ip troupe-masquerade-br7',
      'nft add table ip troupe-masquerade-br7\ndelete table ip troupe-masquerade-br7\n',
      'nft list table ip6 troupe-masquerade-br7',
      'iptables -w -t nat -S TROUPE-MASQ-br7',
      'iptables-save -t nat',
      `iptables-restore *nat\n${jump.replace('-A', '-D')}\n-F TROUPE-MASQ-br7\n-X TROUPE-MASQ-br7\nCOMMIT\n`,
      'ip6tables -w -t nat -S TROUPE-MASQ-br7',
    ]);
  });

  it('runs nothing where no tool is installed', async () => {
    const { ran } = setUp({ installed: [] });
    await removeMasquerade({ runTool: tools.runTool, toolDirs: [tools.dir] }, 'br7');
    expect(ran()).toEqual([]);
  });
});
