/** A small machine of its own: a network namespace that plays the host, others that play pods, a root for files. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { parseSandboxId } from '../../../src/base/ids.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import type { EffectContext } from '../../../src/ports/effect.ts';
import type { NetworkDriver, NetworkDriverOptions } from '../../../src/network/driver.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import type { RunTool } from '../../../src/network/plugin.ts';

const REAL_PLUGINS = '/usr/lib/cni';

/** Why these tests can't run here; empty when they can. */
export function whyNot(): string {
  if (process.getuid?.() !== 0) return 'needs root';
  const needed = [
    ...['bridge', 'host-local', 'portmap', 'loopback'].map((name) => join(REAL_PLUGINS, name)),
    '/usr/bin/nsenter',
  ];
  const absent = needed.filter((path) => !existsSync(path));
  return absent.length === 0 ? '' : `needs ${absent.join(', ')}`;
}

const clock = realClock();
let count = 0;

export class BenchNet {
  readonly root = mkdtempSync(join(tmpdir(), 'troupe-net-'));
  readonly host: string;
  readonly bridge: string;
  readonly confDir = join(this.root, 'net.d');
  readonly cacheDir = join(this.root, 'cache');
  readonly leaseDir = join(this.root, 'leases');
  readonly fakeDir = join(this.root, 'plugins');
  readonly #spaces = new Set<string>();
  readonly #drivers: NetworkDriver[] = [];

  constructor() {
    count += 1;
    this.host = `trp${process.pid}h${count}`;
    this.bridge = `trpbr${count}`;
    for (const dir of [this.confDir, this.fakeDir]) mkdirSync(dir);
    this.#makeSpace(this.host);
    this.inHost('ip', 'link', 'set', 'lo', 'up');
  }

  /** The real one, inside the namespace that plays the host. */
  readonly runTool: RunTool = async (call) =>
    runTool({
      ...call,
      argv: ['/usr/bin/nsenter', `--net=/run/netns/${this.host}`, '--', ...call.argv],
      clock,
    });

  inHost(...argv: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.host, ...argv], { encoding: 'utf8' });
  }

  inPod(id: SandboxId, ...argv: string[]): string {
    return execFileSync('ip', ['netns', 'exec', basename(this.netns(id)), ...argv], { encoding: 'utf8' });
  }

  netns(id: SandboxId): string {
    return `/run/netns/trp${process.pid}${id.slice(0, 8)}`;
  }

  /** A new pod's id with its namespace. */
  pod(at: number): SandboxId {
    const id = parseSandboxId(
      `${count.toString(16).padStart(4, '0')}${at.toString(16).padStart(4, '0')}${'e'.repeat(56)}`,
    );
    if (id === undefined) throw new Error(`no pod ${at}`);
    this.#makeSpace(basename(this.netns(id)));
    return id;
  }

  dropPod(id: SandboxId): void {
    const name = basename(this.netns(id));
    if (this.#spaces.delete(name)) execFileSync('ip', ['netns', 'delete', name]);
  }

  #makeSpace(name: string): void {
    execFileSync('ip', ['netns', 'add', name]);
    this.#spaces.add(name);
  }

  /** The bridge plugin's configuration over a subnet of this bench. */
  bridgeConf(subnets: readonly string[], extra: object = {}): object {
    return {
      type: 'bridge',
      bridge: this.bridge,
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        ranges: subnets.map((subnet) => [{ subnet }]),
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: this.leaseDir,
      },
      ...extra,
    };
  }

  conflist(name: string, plugins: readonly object[], extra: object = {}): void {
    writeFileSync(
      join(this.confDir, `10-${name}.conflist`),
      JSON.stringify({ cniVersion: '1.0.0', name, plugins, ...extra }),
    );
  }

  /** A plugin as a shell script; `$CNI_COMMAND` and stdin are there, VERSION is answered before it. */
  plugin(name: string, body: string, versions: readonly string[] = ['0.4.0', '1.0.0']): void {
    const version = JSON.stringify({ cniVersion: '1.0.0', supportedVersions: versions });
    const text = `#!/bin/sh\nif [ "$CNI_COMMAND" = VERSION ]; then echo '${version}'; exit 0; fi\n${body}\n`;
    writeFileSync(join(this.fakeDir, name), text);
    chmodSync(join(this.fakeDir, name), 0o755);
  }

  async driver(extra: Partial<NetworkDriverOptions> = {}): Promise<NetworkDriver> {
    const driver = createNetworkDriver({
      confDir: this.confDir,
      networkName: '',
      pluginDirs: [this.fakeDir, REAL_PLUGINS],
      cacheDir: this.cacheDir,
      provenFile: `${this.cacheDir}.proven`,
      netnsPath: (id) => this.netns(id),
      runTool: this.runTool,
      clock,
      log: silentLog,
      ...extra,
    });
    this.#drivers.push(driver);
    await driver.start();
    return driver;
  }

  /** Addresses that host-local has given out. */
  leases(network: string): string[] {
    const dir = join(this.leaseDir, network);
    return existsSync(dir) ? readdirSync(dir).filter((name) => /^[0-9a-f.:]+$/u.test(name)) : [];
  }

  /** Names of the veths on the host's side. */
  veths(): string[] {
    return this.inHost('ip', '-o', 'link', 'show', 'type', 'veth')
      .split('\n')
      .filter((line) => line !== '');
  }

  /** Rules and chains, of both families, that belong to one container. */
  rules(id: SandboxId): string[] {
    const own = [this.inHost('iptables-save', '-t', 'nat'), this.inHost('ip6tables-save', '-t', 'nat')]
      .join('\n')
      .split('\n');
    return own.filter((line) => line.includes(id) || /^:CNI-(?!HOSTPORT)/u.test(line));
  }

  async close(): Promise<void> {
    for (const driver of this.#drivers) await driver.stop();
    for (const name of this.#spaces) execFileSync('ip', ['netns', 'delete', name]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function effect(
  timeoutMs = 60_000,
  signal: AbortSignal = new AbortController().signal,
): EffectContext & { readonly notes: string[] } {
  const notes: string[] = [];
  return { timeoutMs, signal, note: ({ on }) => void notes.push(on), notes };
}
