// What comes in pieces is kept in `base` (ByteBlocks, Fifo): an array of buffers costs several hundred bytes for each,
// whatever bound counts its bytes.
import { describe, expect, it } from 'vitest';
import { dotted, places, sourcesBelow, type Node, type Source } from './support/sources.ts';

/** Files that may hold several buffers, with the reason: none of them keeps what somebody sends piece by piece. */
const ALLOWED: Readonly<Record<string, string>> = {
  'src/journal/journal.ts': 'encoded records of our own, bounded in number (pendingAppends) and size',
  'src/cri/present/list-bytes.ts': 'encoded entries of our own lists, which are kept anyway',
  'src/cri/streaming/transport.ts': 'the parts of one frame: a head and a payload',
  'src/cri/streaming/ws-connection.ts': 'the parts of one frame: a head and a payload',
  'src/cri/streaming/ws-frames.ts': 'the parts of one frame',
  'src/daemon/programs/follow-log.ts': 'the pieces of one block of a log (logBlockBytes)',
  'src/cri/streaming/spdy-headers.ts': 'names and values of a header block of our own',
  'src/cri/streaming/spdy-dictionary.ts': 'the words of a constant',
  'src/oci/images/archive/tar-header-bytes.ts': 'the parts of one header of a tar that we write',
  'src/oci/runtime/checkpoint/rootfs-diff.ts': 'names of files, bounded in number (changedFiles)',
  'src/oci/runtime/checkpoint/tar.ts': 'names of files, bounded in number (changedFiles)',
  'src/oci/images/signature/armor.ts': 'the blocks of one file of keys, which was read whole',
  'src/oci/images/signature/gpgv.ts': 'key rings of the configuration, bounded in number (keyFiles)',
  'src/oci/images/signature/policy.ts': 'keys of the configuration, bounded in number (keyFiles)',
  'src/oci/images/signature/keys.ts': 'keys of the configuration, bounded in number (keyFiles)',
  'src/journal/files.ts': 'records of our own that become one file',
};

const BUFFERS = new Set(['Buffer', 'Uint8Array', 'ArrayBuffer']);

const nodeAt = (node: Node, key: string): Node | undefined => node[key] as Node | undefined;

function isBuffer(type: Node | undefined): boolean {
  return type?.type === 'TSTypeReference' && BUFFERS.has(dotted(nodeAt(type, 'typeName')));
}

/** `Buffer[]`, `readonly Uint8Array[]`, `Array<Buffer>`, `Set<Buffer>` and the like. */
function isManyBuffers(node: Node): boolean {
  if (node.type === 'TSArrayType') return isBuffer(nodeAt(node, 'elementType'));
  if (
    node.type !== 'TSTypeReference' ||
    !['Array', 'ReadonlyArray', 'Set', 'Fifo'].includes(dotted(nodeAt(node, 'typeName')))
  )
    return false;
  const [first] = (nodeAt(node, 'typeArguments')?.['params'] ?? []) as readonly Node[];
  return isBuffer(first);
}

/** `Buffer.concat` of a list that was collected; one that is written out has a fixed number of parts. */
function joinsMany(node: Node): boolean {
  if (node.type !== 'CallExpression' || dotted(nodeAt(node, 'callee')) !== 'Buffer.concat') return false;
  const [list] = node['arguments'] as readonly Node[];
  if (list?.type !== 'ArrayExpression') return true;
  return (list['elements'] as readonly Node[]).some(({ type }) => type === 'SpreadElement');
}

/** A stream of Node that is read piece by piece into a text: each `+=` copies all of it, or keeps each piece. */
function joinsText(node: Node): boolean {
  if (node.type !== 'AssignmentExpression' || node['operator'] !== '+=') return false;
  const right = nodeAt(node, 'right');
  if (right?.type !== 'CallExpression') return false;
  const callee = nodeAt(right, 'callee');
  return (
    callee?.type === 'MemberExpression' && ['toString', 'decode'].includes(dotted(nodeAt(callee, 'property')))
  );
}

const outsideBase: readonly Source[] = sourcesBelow('src').filter(
  ({ file }) => !file.startsWith('src/base/'),
);
const notAllowed = outsideBase.filter(({ file }) => ALLOWED[file] === undefined);

describe('S85 pieces', () => {
  it('no array of buffers outside of base: keep bytes in ByteBlocks, or name the file with its reason in ALLOWED', () => {
    expect(places(notAllowed, isManyBuffers)).toEqual([]);
  });

  it('no Buffer.concat of a collected list outside of base: ByteBlocks.takeAll', () => {
    expect(places(notAllowed, joinsMany)).toEqual([]);
  });

  it('no text that grows by each piece: LineCutter, or ByteBlocks', () => {
    // a word of a request that is there as a whole
    const ofStreams = outsideBase.filter(({ file }) => file !== 'src/cri/validate/text-of-bytes.ts');
    expect(places(ofStreams, joinsText)).toEqual([]);
  });

  it('pipes are read by SocketReader: a socket of Node keeps an object for each read while it is paused', () => {
    const own = ['src/host/io/socket-reader.ts', 'src/host/io/descriptors.ts', 'src/nri/directory.ts'];
    const made = (node: Node): boolean =>
      node.type === 'NewExpression' && dotted(nodeAt(node, 'callee')) === 'Socket';
    expect(
      places(
        outsideBase.filter(({ file }) => !own.includes(file)),
        made,
      ),
    ).toEqual([]);
  });

  it('each allowed file still needs the exception', () => {
    const needed = outsideBase
      .filter((source) => places([source], (node) => isManyBuffers(node) || joinsMany(node)).length > 0)
      .map(({ file }) => file);
    expect(Object.keys(ALLOWED).filter((file) => !needed.includes(file))).toEqual([]);
  });
});
