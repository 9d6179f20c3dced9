/** Certificate and key of a TLS server, reloaded when their files change: kubelets rotate them. */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { Server } from 'node:https';
import { fail, toFault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';

export interface TlsFiles {
  /** PEM: the server's certificate, followed by intermediate certificates. */
  readonly cert: string;
  readonly key: string;
  /** PEM of the CA that must have signed the clients' certificates. Empty: clients need no certificate. */
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
  readonly #name: string;
  #seen = '';

  /** @param name such as `streaming`, for log lines */
  constructor(files: TlsFiles, log: Log, name = 'streaming') {
    this.#files = files;
    this.#log = log;
    this.#name = name;
  }

  /** The options of `https.createServer`. Rejects when a file can't be read. */
  async options(): Promise<
    Pems & {
      readonly minVersion: 'TLSv1.2';
      readonly requestCert: boolean;
      readonly rejectUnauthorized: boolean;
    }
  > {
    this.#seen = await this.#fileVersions();
    const withClients = this.#files.clientCa !== '';
    return {
      ...(await this.#read()),
      minVersion: 'TLSv1.2',
      requestCert: withClients,
      rejectUnauthorized: withClients,
    };
  }

  /** Reloads changed files, for new connections. If they can't be used, the old ones stay in use. Never rejects. */
  async refresh(server: Server): Promise<void> {
    try {
      const now = await this.#fileVersions();
      if (now === this.#seen) return;
      const pems = await this.#read();
      server.setSecureContext({ ...pems, minVersion: 'TLSv1.2' });
      this.#seen = now;
      this.#log.info({ cert: this.#files.cert }, `${this.#name} certificate reloaded`);
    } catch (error) {
      this.#log.warn(
        { cert: this.#files.cert, fault: toFault(error) },
        `reload the ${this.#name} certificate: failed, the old one stays in use`,
      );
    }
  }

  #paths(): string[] {
    return [this.#files.cert, this.#files.key, this.#files.clientCa].filter((path) => path !== '');
  }

  async #fileVersions(): Promise<string> {
    const versions: string[] = [];
    // one by one: of several files that are missing the first one is named each time
    for (const path of this.#paths()) {
      const { ino, size, mtimeMs } = await stat(path);
      versions.push(`${ino} ${size} ${mtimeMs}`);
    }
    return versions.join();
  }

  async #read(): Promise<Pems> {
    const { cert, key, clientCa } = this.#files;
    const [certPem, keyPem] = await Promise.all([readPem(cert), readPem(key)]);
    return { cert: certPem, key: keyPem, ...(clientCa === '' ? {} : { ca: await readPem(clientCa) }) };
  }
}

/** Reads a regular file of bounded size: a FIFO must not block a thread forever, nor a huge file fill the memory. */
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
