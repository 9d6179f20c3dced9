/** Certificate and key of the streaming server, read again when their files change: kubelets rotate theirs. */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { Server } from 'node:https';
import { fail, toFault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';

export interface TlsFiles {
  /** PEM, with intermediate certificates behind the server's own. */
  readonly cert: string;
  readonly key: string;
  /** PEM; clients must show a certificate that it signed. Empty: clients show none. */
  readonly clientCa: string;
}

interface Pems {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

export class TlsKeeper {
  readonly #files: TlsFiles;
  readonly #log: Log;
  #seen = '';

  constructor(files: TlsFiles, log: Log) {
    this.#files = files;
    this.#log = log;
  }

  /** The options of `https.createServer`. Rejects when a file can't be read. */
  async options(): Promise<
    Pems & {
      readonly minVersion: 'TLSv1.2';
      readonly requestCert: boolean;
      readonly rejectUnauthorized: boolean;
    }
  > {
    this.#seen = await this.#look();
    const withClients = this.#files.clientCa !== '';
    return {
      ...(await this.#read()),
      minVersion: 'TLSv1.2',
      requestCert: withClients,
      rejectUnauthorized: withClients,
    };
  }

  /** Takes new files for connections to come; what can't be used leaves the old ones in force. Never rejects. */
  async refresh(server: Server): Promise<void> {
    try {
      const now = await this.#look();
      if (now === this.#seen) return;
      const pems = await this.#read();
      server.setSecureContext({ ...pems, minVersion: 'TLSv1.2' });
      this.#seen = now;
      this.#log.info({ cert: this.#files.cert }, 'streaming: new certificate taken');
    } catch (error) {
      this.#log.warn(
        { cert: this.#files.cert, fault: toFault(error) },
        'streaming: the changed certificate can not be used',
      );
    }
  }

  #paths(): string[] {
    return [this.#files.cert, this.#files.key, this.#files.clientCa].filter((path) => path !== '');
  }

  async #look(): Promise<string> {
    const stats = await Promise.all(this.#paths().map((path) => stat(path)));
    return stats.map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`).join();
  }

  async #read(): Promise<Pems> {
    const { cert, key, clientCa } = this.#files;
    const [certPem, keyPem] = await Promise.all([readPem(cert), readPem(key)]);
    return { cert: certPem, key: keyPem, ...(clientCa === '' ? {} : { ca: await readPem(clientCa) }) };
  }
}

/** Of a regular file with a bound: what else lies there must neither hold a thread for ever nor fill the memory. */
async function readPem(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const found = await file.stat();
    const { pemBytes } = streamLimits;
    if (!found.isFile() || found.size > pemBytes)
      fail('outside', `read ${path}: not a regular file of at most ${pemBytes} bytes`, { subject: path });
    const { buffer, bytesRead } = await file.read(Buffer.alloc(pemBytes), 0, pemBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
