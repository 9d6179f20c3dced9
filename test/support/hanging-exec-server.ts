// Run by hanging-exec.ts: serves a FUSE file system with one file, a shell script, and answers no FLUSH of a file
// that was read. A shell closes its script on exec, and every close sends a FLUSH: so whoever runs the script to its
// `exec` hangs in execve(2). Ends by a signal; then the kernel answers all requests with an error.
// The messages are those of the kernel's include/uapi/linux/fuse.h, protocol 7.31.
import { readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { must } from '../../src/host/ffi/errno.ts';
import { callSync, libc } from '../../src/host/ffi/ffi.ts';
import { mountFuse } from './dead-mount.ts';

const [, , path = '', script = ''] = process.argv;
const content = Buffer.from(script);
const ROOT = 1n;
const FILE = 2n;
const ENOENT = -2;
const ENOSYS = -38;
const IN_HEADER = 40;
const OUT_HEADER = 16;
/** Seconds for which the kernel may keep attributes and names, which never change. */
const VALID_S = 3600n;

const PR_SET_PDEATHSIG = 1;
// whatever becomes of the test, nobody hangs any longer
must(callSync(libc.prctl, PR_SET_PDEATHSIG, constants.signals.SIGKILL, 0, 0, 0), 'die with', 'the parent');
const fuse = mountFuse(path, 'hanging', ',allow_other');
process.stdout.write('mounted\n');

/** struct fuse_attr. */
function attributes(node: bigint): Buffer {
  const bytes = Buffer.alloc(88);
  const isFile = node === FILE;
  bytes.writeBigUInt64LE(node, 0);
  bytes.writeBigUInt64LE(BigInt(isFile ? content.length : 0), 8);
  bytes.writeUInt32LE(isFile ? 0o100755 : 0o040755, 60);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(4096, 80);
  return bytes;
}

function longs(...values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [at, value] of values.entries()) bytes.writeBigUInt64LE(value, 8 * at);
  return bytes;
}

function initialized(): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(7, 0);
  bytes.writeUInt32LE(31, 4);
  bytes.writeUInt32LE(4096, 8);
  bytes.writeUInt32LE(4096, 20);
  return bytes;
}

const FOPEN_DIRECT_IO = 1n;
let opened = 0n;
/** Handles of files that were read from. */
const read = new Set<bigint>();

/** The answer's body, an error number, or nothing. */
function answer(operation: number, node: bigint, body: Buffer): Buffer | number | undefined {
  switch (operation) {
    case 1: // LOOKUP
      return body.toString('latin1').startsWith('script\0')
        ? Buffer.concat([longs(FILE, 0n, VALID_S, VALID_S, 0n), attributes(FILE)])
        : ENOENT;
    case 3: // GETATTR
      return Buffer.concat([longs(VALID_S, 0n), attributes(node === ROOT ? ROOT : FILE)]);
    case 14: // OPEN
      opened += 1n;
      return longs(opened, FOPEN_DIRECT_IO);
    case 27: // OPENDIR
      return longs(0n, 0n);
    case 15: {
      // READ
      read.add(body.readBigUInt64LE(0));
      const offset = Number(body.readBigUInt64LE(8));
      return content.subarray(offset, offset + body.readUInt32LE(16));
    }
    case 18: // RELEASE
    case 29: // RELEASEDIR
      return Buffer.alloc(0);
    case 25: // FLUSH
      // a shell closes the file that it has opened at once, after it has duplicated the descriptor
      return read.has(body.readBigUInt64LE(0)) ? undefined : Buffer.alloc(0);
    case 26: // INIT
      return initialized();
    case 2: // FORGET
    case 36: // INTERRUPT
    case 42: // BATCH_FORGET
      return undefined;
    default:
      return ENOSYS;
  }
}

const request = Buffer.alloc(64 * 1024);
for (;;) {
  const length = readSync(fuse, request);
  const given = answer(
    request.readUInt32LE(4),
    request.readBigUInt64LE(16),
    request.subarray(IN_HEADER, length),
  );
  if (given === undefined) continue;
  const body = typeof given === 'number' ? Buffer.alloc(0) : given;
  const header = Buffer.alloc(OUT_HEADER);
  header.writeUInt32LE(OUT_HEADER + body.length, 0);
  header.writeInt32LE(typeof given === 'number' ? given : 0, 4);
  request.copy(header, 8, 8, 16);
  try {
    writeSync(fuse, Buffer.concat([header, body]));
  } catch (error) {
    // ENOENT: the request was interrupted meanwhile
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
