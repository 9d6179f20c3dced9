/** Plugins and iptables as functions: what was called is recorded, what they answer is the test's. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { SandboxInput } from '../../../src/ports/host.ts';
import type { SandboxSpec } from '../../../src/ports/specs.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { parseSandboxId } from '../../../src/base/ids.ts';
import type { RunTool, NetworkToolCall, NetworkToolResult } from '../../../src/network/plugin.ts';

export interface Seen {
  readonly tool: string;
  readonly command: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Record<string, unknown>;
  readonly stdinText: string;
  readonly timeoutMs: number;
}

export type Answer = Partial<Omit<NetworkToolResult, 'stdout' | 'stderr'>> & {
  stdout?: string;
  stderr?: string;
};

export interface FakePlugins {
  readonly dir: string;
  readonly seen: Seen[];
  readonly runTool: RunTool;
  /** `ADD bridge` and the like, in order. */
  readonly order: () => string[];
  /** Makes executables with these names. */
  readonly install: (...names: string[]) => void;
  readonly close: () => void;
}

export function fakePlugins(answer: (seen: Seen) => Answer | Promise<Answer>): FakePlugins {
  const dir = mkdtempSync(join(tmpdir(), 'troupe-cni-'));
  const seen: Seen[] = [];
  const runTool = async (call: NetworkToolCall): Promise<NetworkToolResult> => {
    const stdinText = Buffer.from(call.stdin).toString();
    const tool = basename(call.argv[0] ?? '');
    const one: Seen = {
      tool,
      command: call.env['CNI_COMMAND'] ?? '',
      argv: call.argv,
      env: call.env,
      stdin: stdinText.startsWith('{') ? (JSON.parse(stdinText) as Record<string, unknown>) : {},
      stdinText,
      timeoutMs: call.timeoutMs,
    };
    seen.push(one);
    const { stdout = '', stderr = '', ...rest } = await answer(one);
    return {
      exitCode: 0,
      truncated: false,
      timedOut: false,
      durationMs: 1,
      ...rest,
      stdout: Buffer.from(stdout),
      stderr: Buffer.from(stderr),
    };
  };
  return {
    dir,
    seen,
    runTool,
    order: () => seen.map(({ command, tool }) => `${command} ${tool}`.trim()),
    install: (...names) => {
      for (const name of names) {
        mkdirSync(dir, { recursive: true });
        writeFileSync(join(dir, name), '');
        chmodSync(join(dir, name), 0o755);
      }
    },
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** An answer to ADD in 1.0.0. */
export function result(ip: string, extra: object = {}): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: '/run/netns/x' }],
    ips: [{ address: `${ip}/24`, interface: 0 }],
    ...extra,
  });
}

export function pluginFailure(code: number, msg: string): Answer {
  return { exitCode: 1, stdout: JSON.stringify({ cniVersion: '1.0.0', code, msg }) };
}

/** A sandbox id made from one hex digit. */
export function sandboxId(digit: string): SandboxId {
  const id = parseSandboxId(digit.repeat(64));
  if (id === undefined) throw new Error(`no hex digit: ${digit}`);
  return id;
}

export function sandboxInput(id: SandboxId, extra: Partial<SandboxSpec> = {}): SandboxInput {
  return {
    id,
    spec: {
      key: { name: 'web', namespace: 'prod', uid: 'u-1', attempt: 0 },
      hostname: 'web',
      logDirectory: '',
      dns: undefined,
      portMappings: [],
      labels: {},
      annotations: {},
      handler: '',
      cgroupParent: '',
      sysctls: [],
      namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined },
      privileged: false,
      user: {
        runAsUser: undefined,
        runAsUsername: '',
        runAsGroup: undefined,
        supplementalGroups: [],
        supplementalGroupsPolicy: 'merge',
      },
      readonlyRootfs: false,
      seccomp: { type: 'runtimeDefault', path: '' },
      ...extra,
    },
  };
}
