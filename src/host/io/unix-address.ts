/** Addresses of Unix sockets (unix(7)). */
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { AF_UNIX } from '../ffi/constants.ts';

/** struct sockaddr_un: the family, then the path with its NUL. Throws `unsupported` for a path that is too long. */
export function unixAddress(path: string): Buffer {
  const bytes = Buffer.from(path, 'utf8');
  if (bytes.length > hostLimits.socketPathBytes) {
    fail('unsupported', `use socket ${path}: its path has more than ${hostLimits.socketPathBytes} bytes`, {
      subject: path,
    });
  }
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}
