/**
 * The subnet of troupe's own network, once the kubelet has named the node's pod CIDR (UpdateRuntimeConfig): each node
 * of a cluster then has addresses of its own. A bridge has one gateway of each family, so the subnet changes only while
 * no pod has an address. The kubelet does not repeat the CIDR when the runtime starts anew, so it is kept in a file of
 * the state directory; after a reboot the kubelet starts, too.
 */
import { fail, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { writeWhole } from '../host/files/whole-file.ts';
import { networkLimits } from './bounds.ts';
import { parseOwnSubnets } from './own-subnets.ts';

/** Name of the file in the state directory: the subnet in use, and the one that the kubelet has named last. */
export const POD_CIDR_FILE = 'network.pod-cidr';

interface Kept {
  /** Empty: the configured one. */
  readonly inUse: string;
  readonly wanted: string;
}

/** What an earlier boot has kept: nothing in a file that can't be read or is torn. The kubelet's next start helps. */
async function readKept(file: string): Promise<Kept> {
  const bytesMax = networkLimits.podCidrBytes;
  const text = await readSmallFile(file, { usualBytes: bytesMax, bytesMax }).catch(() => undefined);
  const [inUse = '', wanted = ''] = (text ?? '').split('\n');
  const valid = (subnet: string): string => (typeof parseOwnSubnets(subnet) === 'string' ? '' : subnet);
  return { inUse: valid(inUse), wanted: valid(wanted) };
}

/** The subnet that an instance's own network uses. */
export async function subnetInUse(file: string, configured: string): Promise<string> {
  return (await readKept(file)).inUse || configured;
}

const IN_USE = 'pods have addresses of the present one';

export interface PodCidrOptions {
  /** Path of POD_CIDR_FILE. */
  readonly file: string;
  /** Whether no pod has an address, or is about to get one. Called while ADDs wait. */
  readonly isUnused: () => Promise<boolean>;
  /** Takes addresses of other subnets off the bridge; an empty one stands for the configured subnet. */
  readonly fit: (subnet: string) => Promise<void>;
  /** Gives the network this subnet. */
  readonly use: (subnet: string) => Promise<void>;
  /** Whether troupe's own network is the fallback now. Until it is, the CIDR is only kept. */
  readonly isOn: () => boolean;
  readonly log: Log;
}

export class PodCidr {
  readonly #options: PodCidrOptions;
  #kept: Kept = { inUse: '', wanted: '' };
  #ready: Promise<void> | undefined;
  /** The bridge has no address of another subnet: not after a wipe or the loss of the state directory. */
  #isFit = false;
  #changing: Promise<boolean> | undefined;
  #keeping: Promise<void> = Promise.resolve();
  /** Whether the file has what is kept here: the next boot would use another subnet than the pods have. */
  #isStored = true;
  /** The last reason for waiting that was logged. */
  #logged = '';

  constructor(options: PodCidrOptions) {
    this.#options = options;
  }

  /** Reads what an earlier boot has kept, whose subnet in use the network was made with. */
  async start(): Promise<void> {
    await this.#read();
  }

  /** The change under way, for which an ADD waits; it never rejects. */
  get changing(): Promise<unknown> | undefined {
    return this.#changing;
  }

  /**
   * Uses the CIDR now, or as soon as no pod has an address. Throws `invalidRequest` for one that can't be used, unless
   * pods have another network: that one may well use it.
   */
  async want(cidr: string): Promise<void> {
    const parsed = parseOwnSubnets(cidr);
    if (typeof parsed === 'string' && !this.#options.isOn()) return undefined;
    if (typeof parsed === 'string')
      return fail('invalidRequest', `use pod CIDR ${cidr}: ${parsed}`, { subject: cidr });
    const wanted = parsed.map(({ subnet }) => subnet).join(',');
    await this.#read();
    if (wanted !== this.#kept.wanted) await this.#keep({ wanted });
    await this.check();
  }

  /**
   * Changes the subnet if another one is wanted, and makes the bridge fit the one in use, if no pod has an address.
   * Never rejects.
   */
  async check(): Promise<void> {
    await this.#read();
    // the disk was full, and may have space again (F21)
    if (!this.#isStored) await this.#keep({});
    // once more where another CIDR was named meanwhile
    while (this.#options.isOn() && this.#isDue()) {
      this.#changing ??= this.#change().finally(() => {
        this.#changing = undefined;
      });
      if (!(await this.#changing)) return;
    }
  }

  /** Also before `start`, which may wait for a directory: what is kept must not be lost. */
  async #read(): Promise<void> {
    this.#ready ??= readKept(this.#options.file).then((kept) => {
      this.#kept = kept;
    });
    await this.#ready;
  }

  #isDue(): boolean {
    const { wanted, inUse } = this.#kept;
    return !this.#isFit || (wanted !== '' && wanted !== inUse);
  }

  /** False where it has to wait. */
  async #change(): Promise<boolean> {
    const { isUnused, fit, use, log } = this.#options;
    const { wanted, inUse } = this.#kept;
    const subnet = wanted || inUse;
    try {
      if (!(await isUnused())) return this.#wait(subnet, IN_USE);
      await fit(subnet);
      if (subnet !== inUse) {
        await use(subnet);
        await this.#keep({ inUse: subnet });
        log.info({ subnet }, 'own network uses the pod CIDR of the node');
      }
      this.#isFit = true;
      this.#logged = '';
      return true;
    } catch (thrown) {
      return this.#wait(subnet, toFault(thrown).message);
    }
  }

  #wait(subnet: string, reason: string): boolean {
    const isChange = subnet !== this.#kept.inUse;
    // pods on a bridge that fits, as after each start, are no reason to say anything
    if (reason === this.#logged || (!isChange && reason === IN_USE)) return false;
    this.#logged = reason;
    const said = isChange ? 'pod CIDR of the node is not used yet' : 'bridge does not fit own network';
    this.#options.log.warn({ subnet, reason }, said);
    return false;
  }

  /** One after the other: all write the same file. */
  async #keep(part: Partial<Kept>): Promise<void> {
    this.#kept = { ...this.#kept, ...part };
    const { file, log } = this.#options;
    this.#keeping = this.#keeping.then(async () => {
      const { inUse, wanted } = this.#kept;
      try {
        await writeWhole(file, `${inUse}\n${wanted}\n`, 0o600);
        this.#isStored = true;
      } catch (error) {
        // once until it is stored: each scan of the configuration tries again
        if (this.#isStored)
          log.warn({ file, error: String(error) }, 'could not store the pod CIDR of the node');
        this.#isStored = false;
      }
    });
    await this.#keeping;
  }
}
