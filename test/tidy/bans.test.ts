// Words of the language that may not be used, or not everywhere. What lint can say stands in .oxlintrc.json.
import { describe, expect, it } from 'vitest';
import type { Node } from './support/sources.ts';
import { dotted, places, sourcesBelow, walk } from './support/sources.ts';

const everything = ['src', 'test', 'scripts'].flatMap(sourcesBelow);
const src = sourcesBelow('src');
const actors = src.filter(({ file }) => file.startsWith('src/actors/'));
const machines = actors.filter(({ file }) => file.endsWith('.machine.ts'));

/**
 * Who may use Node's own readFile: for files of the kernel, of /etc and of the program itself; and for those of a
 * container that runs, after the start.
 */
const READS_OTHERS: ReadonlySet<string> = new Set(
  [
    'daemon/cli/status',
    'daemon/wiring/process-facts',
    'host/security/apparmor',
    'host/cgroups/cgroup-layout',
    'host/files/directory-lock',
    'host/mounts/mount-point',
    'host/tuning/program-pages',
    'host/sandbox/sandbox-driver',
    'host/security/selinux',
    'host/cgroups/systemd',
    'introspection/describe',
    'introspection/web-server',
    'oci/runtime/checkpoint/frozen',
    'oci/runtime/bundle/host/bundle-host',
    'oci/runtime/bundle/host/cpusets',
    'oci/runtime/handlers/hide-unified',
    'oci/images/store/drivers/fuse-helpers',
  ].map((file) => `src/${file}.ts`),
);

const isCall = (node: Node, name: string): boolean =>
  node.type === 'CallExpression' && dotted(node['callee']) === name;
const keyOf = (node: Node): string => String((node['key'] as Node)['name'] ?? (node['key'] as Node)['value']);

describe('everywhere', () => {
  it('a file that replaces a module resets the modules before and after: test files share a process', () => {
    const mocking = everything.filter(({ program, text }) => {
      if (!text.includes('vi.mock')) return false;
      let found = false;
      walk(program, (node) => (found ||= isCall(node, 'vi.mock')));
      return found;
    });
    expect(mocking.length).toBeGreaterThan(0);
    const wrong = mocking.filter(
      ({ text }) =>
        !text.includes('\nvi.hoisted(() => vi.resetModules());') ||
        !text.includes('\nvi.resetModules();') ||
        !text.includes('\nafterAll(() => vi.resetModules());'),
    );
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  it('no `as unknown as`: parse the value, or give it the right type where it is made', () => {
    const doubled = (node: Node): boolean => {
      const inner = node['expression'] as Node | undefined;
      return (
        node.type === 'TSAsExpression' &&
        inner?.type === 'TSAsExpression' &&
        (inner['typeAnnotation'] as Node).type === 'TSUnknownKeyword'
      );
    };
    // the parser's own types are a union of some two hundred; the rules read a node as a record
    const found = places(everything, doubled).filter(
      (place) => !place.startsWith('test/tidy/support/sources.ts'),
    );
    expect(found).toEqual([]);
  });

  it('no barrels: a file that only passes on what others export hides the arrows', () => {
    const barrels = everything.filter(({ program }) => {
      const body = program['body'] as readonly Node[];
      const passesOn = (node: Node): boolean =>
        node.type === 'ExportAllDeclaration' ||
        (node.type === 'ExportNamedDeclaration' && node['source'] !== null);
      return (
        body.length > 0 &&
        body.every((node) => passesOn(node) || node.type === 'ImportDeclaration') &&
        body.some(passesOn)
      );
    });
    expect(barrels.map(({ file }) => file).filter((file) => file !== 'src/actors/index.ts')).toEqual([]);
  });
});

describe('in src', () => {
  it('actors are made by the supervisor and the wiring only', () => {
    const allowed = new Set(['src/actors/directory/supervisor.ts', 'src/actors/start-actors.ts']);
    expect(
      places(
        src.filter(({ file }) => !allowed.has(file)),
        (node) => isCall(node, 'createActor'),
      ),
    ).toEqual([]);
  });

  it('no shell: programs are started with a list of arguments', () => {
    const shells = places(src, (node) => {
      if (node.type === 'Property') return keyOf(node) === 'shell';
      const items = node.type === 'ArrayExpression' ? (node['elements'] as readonly (Node | null)[]) : [];
      return items.some(
        (item, at) => item?.['value'] === '-c' && /(^|\/)(ba|da)?sh$/u.test(String(items[at - 1]?.['value'])),
      );
    });
    expect(shells).toEqual([]);
  });

  it('F89 our files are read by readSmallFile or readOwnFile, which no FIFO in their place can block', () => {
    const takes = (node: Node): boolean =>
      node.type === 'ImportSpecifier' && (node['imported'] as Node)['name'] === 'readFile';
    const found = places(src, takes).map((place) => place.replace(/:\d+$/u, ''));
    expect(found.filter((file) => !READS_OTHERS.has(file))).toEqual([]);
  });

  it("nothing is addressed or logged by xstate's session id: it changes with each restart", () => {
    expect(
      places(
        src,
        (node) => node.type === 'MemberExpression' && (node['property'] as Node)['name'] === 'sessionId',
      ),
    ).toEqual([]);
  });

  it('no child subscribes to each snapshot of another actor', () => {
    expect(places(src, (node) => node.type === 'Property' && keyOf(node) === 'syncSnapshot')).toEqual([]);
  });
});

describe('in actors', () => {
  it('no `finally`: an abandoned run never gets there, so cleaning up is a state', () => {
    const found = places(
      actors,
      (node) =>
        (node.type === 'TryStatement' && node['finalizer'] !== null) ||
        (node.type === 'CallExpression' && dotted(node['callee']).endsWith('.finally')),
    );
    expect(found).toEqual([]);
  });

  it('no machine awaits, and none of its functions is async: effects are invoked', () => {
    expect(places(machines, (node) => node.type === 'AwaitExpression' || node['async'] === true)).toEqual([]);
  });

  it('a machine config has no function longer than a line', () => {
    const found = machines.flatMap((source) =>
      places([source], (node, around) => {
        const inConfig = around.some(
          (outer) =>
            outer.type === 'CallExpression' &&
            (outer['callee'] as Node).type === 'MemberExpression' &&
            ((outer['callee'] as Node)['property'] as Node)['name'] === 'createMachine' &&
            node.start > (outer['callee'] as Node).end,
        );
        const isFunction = node.type === 'ArrowFunctionExpression' || node.type === 'FunctionExpression';
        return inConfig && isFunction && source.line(node.start) !== source.line(node.end);
      }),
    );
    expect(found).toEqual([]);
  });
});
